use super::described::Described;
use super::*;

/// The whole file of defaults.
fn defaults_file() -> String {
    let mut yaml = String::from(
        "# Every setting of `meshtide serve`, with its default. Start with\n\
         #   meshtide serve --data-dir DIR --config meshtide.yaml\n\
         # Whatever is left out has its default; unknown names are an error. Flags on the command line win.\n\
         #\n\
         # Durations: 500ms 30s 1h30m 15d. Sizes: 512KiB 64MiB 1GiB.\n",
    );
    Settings::default().describe(0, &mut yaml);
    yaml
}

#[test]
fn the_file_in_config_is_the_one_of_the_defaults() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/meshtide.yaml");
    if std::env::var_os("MESHTIDE_BLESS").is_some() {
        std::fs::write(&path, defaults_file()).unwrap();
    }
    let file = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        file == defaults_file(),
        "config/meshtide.yaml differs from the defaults: MESHTIDE_BLESS=1 cargo test -p meshtide config"
    );
}

#[test]
fn the_file_of_defaults_says_nothing_but_the_defaults() {
    assert_eq!(Settings::parse(&defaults_file()).unwrap(), Settings::default());
    assert_eq!(Settings::parse("").unwrap(), Settings::default());
    assert_eq!(Settings::parse("# nothing\n").unwrap(), Settings::default());
}

#[test]
fn a_section_may_be_given_in_part() {
    let settings =
        Settings::parse("storage: {retention: 2d, wal_segment: 1MiB}\nexternal_labels: {a: b}").unwrap();
    assert_eq!(settings.storage.retention, Span::days(2));
    assert_eq!(settings.storage.wal_segment, Bytes(1 << 20));
    assert_eq!(settings.storage.wal_sync, WalSync::Always);
    assert_eq!(settings.query, Query::default());
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let check = |yaml: &str, parts: &[&str]| {
        let error = format!("{:#}", Settings::parse(yaml).unwrap_err());
        for part in parts {
            assert!(error.contains(part), "{yaml:?} gives {error:?} without {part:?}");
        }
    };
    check(
        "storage:\n  retetion: 2d\n",
        &["storage", "retetion", "expected one of", "`retention`", "line 2"],
    );
    check("http: {listen: here}", &["http.listen"]);
    check(
        "query: {timeout: soon}",
        &["query.timeout", "\"soon\" is no duration"],
    );
    check(
        "query: {timeout: 0s}",
        &["query.timeout has to be longer than 0s"],
    );
    check("storage: {wal_sync: sometimes}", &["storage.wal_sync", "always"]);
    check("external_labels: {\"\": x}", &["external_labels", "empty name"]);
}

#[test]
fn pairs_of_replicas_are_read_and_checked() {
    let settings =
        Settings::parse("ha: {pairs: [{group: [a, b], replica: r}], failover_timeout: 1m}").unwrap();
    assert_eq!(settings.ha.failover_timeout, Span::minutes(1));
    assert_eq!(settings.ha.pairs[0].group, ["a", "b"]);
    for bad in [
        "{group: [], replica: r}",
        "{group: [a], replica: ''}",
        "{group: [a]}",
    ] {
        let error = Settings::parse(&format!("ha: {{pairs: [{bad}]}}")).unwrap_err();
        assert!(format!("{error:#}").contains("ha.pairs"), "{bad}: {error:#}");
    }
}
