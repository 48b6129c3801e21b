//! Random data and random queries: Meshtide answers as a real Prometheus 3.5.3 does.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use meshtide_tests::diff::run::{Plan, aligned_end_ms, run};
use meshtide_tests::diff::servers::Program;
use meshtide_tests::peers;

/// Queries of each test; `MESHTIDE_DIFF_QUERIES` names another number.
const N_QUERIES: u64 = 300;

#[test]
#[ignore = "needs a real Prometheus: MESHTIDE_PROMETHEUS"]
fn meshtide_answers_random_queries_as_prometheus_does() -> Result<()> {
    let Some(prometheus) = peers::peer("MESHTIDE_PROMETHEUS") else {
        return Ok(());
    };
    let plan = plan(
        Program::Prometheus(prometheus),
        Program::Meshtide(peers::meshtide()),
    )?;
    let outcome = run(&plan, &mut |line| println!("{line}"))?;
    assert!(
        outcome.n_with_data * 3 > outcome.n_queries,
        "only {} of {} queries have an answer",
        outcome.n_with_data,
        outcome.n_queries
    );
    assert!(
        outcome.differences.is_empty(),
        "{} differences, `promql-diff --seed {}` shows them",
        outcome.differences.len(),
        plan.seed
    );
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
        ..plan(program.clone(), program)?
    };
    let outcome = run(&plan, &mut |line| println!("{line}"))?;
    assert_eq!(outcome.differences, Vec::<String>::new());
    assert!(outcome.n_perturbed > N_QUERIES / 6);
    assert_eq!(outcome.n_perturbed_found, outcome.n_perturbed);
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the data ends near the machine's own time"
)]
fn plan(expected: Program, actual: Program) -> Result<Plan> {
    let now_ms = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    let n_queries = std::env::var("MESHTIDE_DIFF_QUERIES").ok();
    Ok(Plan {
        expected,
        actual,
        seed: 1,
        start_at: 0,
        n_queries: n_queries.map_or(Ok(N_QUERIES), |text| text.parse())?,
        end_ms: aligned_end_ms(now_ms),
        n_shrunk: 1,
        perturb_one_in: None,
    })
}
