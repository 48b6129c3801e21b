use super::*;

fn problem(pattern: &str) -> String {
    compile(pattern)
        .map(|regex| regex.to_string())
        .unwrap_err()
        .to_string()
}

#[test]
fn errors_read_as_go_words_them() {
    let check = |pattern: &str, expected: &str| {
        assert_eq!(
            problem(pattern),
            format!("error parsing regexp: {expected}"),
            "{pattern}"
        );
    };
    check("(", "missing closing ): `(`");
    check("a(b", "missing closing ): `a(b`");
    check("a)b", "unexpected ): `a)b`");
    check("a[b", "missing closing ]: `[b`");
    check("[]", "missing closing ]: `[]`");
    check("[b-a]", "invalid character class range: `b-a`");
    check("[[:foo:]]", "invalid character class range: `[:foo:]`");
    check("*", "missing argument to repetition operator: `*`");
    check("a|*?b", "missing argument to repetition operator: `*?`");
    check("(+)", "missing argument to repetition operator: `+`");
    check("a**", "invalid nested repetition operator: `**`");
    check("a*+?b", "invalid nested repetition operator: `*+?`");
    check("a{2}{3}", "invalid nested repetition operator: `{2}{3}`");
    check("a{1001}", "invalid repeat count: `{1001}`");
    check("a{3,2}", "invalid repeat count: `{3,2}`");
    check("a\\", "trailing backslash at end of expression: ``");
    check(r"\8", r"invalid escape sequence: `\8`");
    check(r"\1", r"invalid escape sequence: `\1`");
    check(r"\C", r"invalid escape sequence: `\C`");
    check(r"\x{110000}", r"invalid escape sequence: `\x{110000`");
    check(r"[\b]", r"invalid escape sequence: `\b`");
    check(r"\p{Nope}", r"invalid character class range: `\p{Nope}`");
    check("(?=a)", "invalid or unsupported Perl syntax: `(?=`");
    check("(?i", "invalid or unsupported Perl syntax: `(?i`");
    check("(?P<a", "invalid named capture: `(?P<a`");
    check("(?P<a b>c)", "invalid named capture: `(?P<a b>`");
}

#[test]
fn patterns_match_what_they_match_in_go() {
    let check = |pattern: &str, matching: &[&str], other: &[&str]| {
        let regex = compile(pattern).unwrap();
        for text in matching {
            assert!(regex.is_match(text), "{pattern} {text:?}");
        }
        for text in other {
            assert!(!regex.is_match(text), "{pattern} {text:?}");
        }
    };
    check("a.b", &["a\nb", "axb"], &["ab", "xaxb"]);
    check("a{b", &["a{b"], &["a"]);
    check("a{,2}", &["a{,2}"], &["a", "aa"]);
    check("a{01}", &["a{01}"], &["a"]);
    check("a{2,}b{1}", &["aab", "aaab"], &["ab"]);
    check(
        r"\d\w\s",
        &["1a ", "0_\t"],
        &["\u{661}a ", "1é ", "1a\u{a0}", "1a\u{b}"],
    );
    check(r"[\d\D]", &["1", "x", "é"], &[""]);
    check(r"[^\d]", &["x"], &["1"]);
    check(r"[\W]", &["é", "-"], &["a", "_"]);
    check("[a[b]", &["a", "[", "b"], &["]"]);
    check("[a&&b]", &["a", "&", "b"], &[]);
    check("[]a-]", &["]", "a", "-"], &["b"]);
    check("[^]a]", &["b"], &["]", "a"]);
    check("[+--]", &["+", ",", "-"], &["*", "."]);
    check(r"[[:alpha:]\-[:^word:]]+", &["a-é"], &["1"]);
    check(r"\Qa.b|c\E+", &["a.b|c", "a.b|ccc"], &["axb", "a.b|ca.b|c"]);
    check(r"\Q(", &["("], &[""]);
    check(r"\x41\x{42}\103\0\_\<", &["ABC\0_<"], &[]);
    check(r"\ba\b", &["a"], &["b"]);
    check(r"é\bb", &["éb"], &[]);
    check(r"\Aa\z", &["a"], &["a\n"]);
    check("(?i)straße", &["STRAßE"], &["strasse"]);
    check("(?-s)a.b", &["axb"], &["a\nb"]);
    check("(?i:a)b", &["Ab"], &["AB"]);
    check("(?m)^a$", &["a"], &["b\na"]);
    check("(?U)a+", &["aaa"], &[""]);
    check("(?:)(?)a", &["a"], &[""]);
    check("(?P<x>a)(?<x>b)(?P<1>c)", &["abc"], &["ab"]);
    check(r"\pL\p{Greek}\P{^N}", &["aα1"], &["1α1"]);
    check("a}]", &["a}]"], &[]);
    check("a||b", &["a", "", "b"], &["c"]);
    check("^*a$+", &["a"], &[]);
    check("# x", &["# x"], &[]);
}

#[test]
fn groups_keep_their_numbers() {
    let regex = compile("(?P<x>a)(?<x>b)(?:c)(d)").unwrap();
    let captures = regex.captures("abcd").unwrap();
    assert_eq!((&captures[1], &captures[2], &captures[3]), ("a", "b", "d"));
    assert_eq!(captures.name("x").unwrap().as_str(), "a");
}

#[test]
fn plain_lists_are_found_without_compiling() {
    let check = |pattern: &str, expected: Option<&[&str]>| {
        let found = plain_alternatives(pattern);
        assert_eq!(
            found.as_deref(),
            expected
                .map(|list| list.iter().map(ToString::to_string).collect::<Vec<_>>())
                .as_deref(),
            "{pattern}"
        );
    };
    check("a|b", Some(&["a", "b"]));
    check("", Some(&[""]));
    check("|a", Some(&["", "a"]));
    check("(a|b)", Some(&["a", "b"]));
    check("(?:a|b)", Some(&["a", "b"]));
    check("^(a|b)$", Some(&["a", "b"]));
    check(r"^a\.b|\$$", Some(&["a.b", "$"]));
    check(r"a\$", Some(&["a$"]));
    check(r"a\\$", None);
    check(r"\d", None);
    check("(a)|(b)", None);
    check("(?i:a)", None);
    check("a|(b", None);
    check("a|b*", None);
    check("a{", None);
}

#[test]
fn hostile_patterns_are_refused() {
    assert!(problem(&"(".repeat(100_000)).contains("nests too deeply"));
    assert!(problem("((((a{100}){100}){100}){100})").contains("too large"));
    assert!(problem(&format!("{}a{}", "(?:".repeat(201), ")".repeat(201))).contains("nests too deeply"));
    assert!(compile(&format!("{}a{}", "(a".repeat(200), ")".repeat(200))).is_ok());
}
