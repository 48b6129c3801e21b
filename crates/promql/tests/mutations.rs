//! The queries of the corpus, damaged: whatever still parses prints as a text that parses to the same tree, and
//! whatever does not has an error inside its text.
//!
//! The seeds are fixed. `MESHTIDE_MUTATIONS` sets how many are tried per query, 20 if unset.

use testkit::{Chance, mutate};

use any_text::assert_parses_or_points_at_the_error;

#[path = "common/any_text.rs"]
mod any_text;
mod common;

#[test]
fn damaged_queries_parse_or_point_at_what_is_wrong() {
    let setting = std::env::var("MESHTIDE_MUTATIONS").ok();
    let n_mutations: u64 = setting.map_or(20, |text| text.parse().expect("MESHTIDE_MUTATIONS is a number"));
    let queries = include_str!("corpus/accept.txt")
        .lines()
        .filter(|line| !line.starts_with(['#', ' ']));
    for (idx, query) in queries.enumerate() {
        for seed in 0..n_mutations {
            let mut chance = Chance::from_seed(seed << 16 | idx as u64);
            let mut damaged = query.as_bytes().to_vec();
            mutate(&mut damaged, &mut chance);
            assert_parses_or_points_at_the_error(&String::from_utf8_lossy(&damaged));
        }
    }
}
