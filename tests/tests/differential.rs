//! Random data and random queries: Meshtide answers as a real Prometheus 3.5.3 does. Seeds and times are fixed, so that
//! every run asks the same.

use std::time::{Duration, Instant};

use anyhow::Result;
use meshtide_tests::diff::metric::Repertoire;
use meshtide_tests::diff::run::{Plan, run};
use meshtide_tests::diff::servers::Program;
use meshtide_tests::peers;

/// Queries of each seed; `MESHTIDE_DIFF_QUERIES` names another number.
const N_QUERIES: u64 = 250;
/// Where the queries come from.
const SEEDS: [u64; 3] = [1, 2, 3];
/// The same of those about native histograms and `info`.
const NATIVE_SEEDS: [u64; 2] = [1, 2];
/// After this, no further seed is begun: a slow machine asks less.
const TIME_MAX: Duration = Duration::from_secs(60);
/// When the data ends: far back, and a multiple of all usual steps.
const END_MS: i64 = 1_764_000_000_000;

#[test]
#[ignore = "needs a real Prometheus: MESHTIDE_PROMETHEUS"]
fn meshtide_answers_random_queries_as_prometheus_does() -> Result<()> {
    compare(&SEEDS, Repertoire::Floats)
}

#[test]
#[ignore = "needs a real Prometheus: MESHTIDE_PROMETHEUS"]
fn meshtide_answers_random_queries_about_native_histograms_as_prometheus_does() -> Result<()> {
    compare(&NATIVE_SEEDS, Repertoire::Natives)
}

#[expect(clippy::print_stdout, reason = "a test says what it compared")]
fn compare(seeds: &[u64], repertoire: Repertoire) -> Result<()> {
    let Some(prometheus) = peers::peer("MESHTIDE_PROMETHEUS") else {
        return Ok(());
    };
    let begun = Instant::now();
    for &seed in seeds {
        if begun.elapsed() > TIME_MAX {
            println!("no time for seed {seed}");
            continue;
        }
        let expected = Program::Prometheus(prometheus.clone());
        let plan = Plan {
            repertoire,
            ..plan(seed, expected, Program::Meshtide(peers::meshtide()))?
        };
        let outcome = run(&plan, &mut |line| println!("{line}"))?;
        println!("{repertoire:?}, seed {seed}: {:?}", outcome.justified);
        assert!(
            outcome.n_with_data * 3 > outcome.n_queries,
            "only {} of {} queries have an answer",
            outcome.n_with_data,
            outcome.n_queries
        );
        let natives = match repertoire {
            Repertoire::Floats => "",
            Repertoire::Natives => " --natives",
        };
        assert!(
            outcome.differences.is_empty(),
            "{} differences, `promql-diff{natives} --seed {seed} --end-time {}` shows them",
            outcome.differences.len(),
            END_MS / 1_000
        );
    }
    Ok(())
}

#[test]
#[ignore = "needs a real Prometheus: MESHTIDE_PROMETHEUS"]
fn two_prometheus_never_differ_and_every_altered_reply_is_noticed() -> Result<()> {
    let Some(prometheus) = peers::peer("MESHTIDE_PROMETHEUS") else {
        return Ok(());
    };
    let program = Program::Prometheus(prometheus);
    let plan = Plan {
        perturb_one_in: Some(3),
        ..plan(1, program.clone(), program)?
    };
    let outcome = run(&plan, &mut |line| println!("{line}"))?;
    assert_eq!(outcome.differences, Vec::<String>::new());
    assert!(outcome.n_perturbed > N_QUERIES / 6);
    assert_eq!(outcome.n_perturbed_found, outcome.n_perturbed);
    Ok(())
}

fn plan(seed: u64, expected: Program, actual: Program) -> Result<Plan> {
    let n_queries = std::env::var("MESHTIDE_DIFF_QUERIES").ok();
    Ok(Plan {
        expected,
        actual,
        seed,
        start_at: 0,
        n_queries: n_queries.map_or(Ok(N_QUERIES), |text| text.parse())?,
        repertoire: Repertoire::Floats,
        end_ms: END_MS,
        n_shrunk: 1,
        perturb_one_in: None,
        shows_justified: false,
    })
}
