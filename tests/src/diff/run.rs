//! Asks both servers query after query.

use std::collections::BTreeMap;

use anyhow::Result;

use super::case::{Case, Window};
use super::comparison::{Difference, difference};
use super::dataset::Dataset;
use super::deviation::{Evidence, justified};
use super::generator;
use super::metric::Repertoire;
use super::perturbation::Perturbation;
use super::population::{SPAN_MS, dataset};
use super::reply::Reply;
use super::servers::{Pair, Program};
use super::shrink::{shrink_case, shrink_data};

/// Queries put to one set of data; then both servers start afresh with another one.
const QUERIES_PER_DATASET: u64 = 1_000;
/// Times at which data may end: multiples of all usual steps, so that windows and steps fall alike in every run.
const ALIGNMENT_MS: i64 = 25_200_000;

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Who is right.
    pub expected: Program,
    /// Who is tested.
    pub actual: Program,
    /// Where data and queries come from.
    pub seed: u64,
    /// Number of the first query.
    pub start_at: u64,
    /// How many.
    pub n_queries: u64,
    /// Which data and queries there are.
    pub repertoire: Repertoire,
    /// When the data ends, milliseconds since the epoch.
    pub end_ms: i64,
    /// How many differences are made small, which takes up to some minutes each.
    pub n_shrunk: usize,
    /// Alter one of this many actual replies, to see that it is noticed.
    pub perturb_one_in: Option<u64>,
    /// Report justified differences too.
    pub shows_justified: bool,
}

/// What came out.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Queries asked.
    pub n_queries: u64,
    /// Of which the expected answer was not empty.
    pub n_with_data: u64,
    /// Of which the expected answer was an error.
    pub n_errors: u64,
    /// Unexplained differences, described.
    pub differences: Vec<String>,
    /// Differences by the deviation that justifies them.
    pub justified: BTreeMap<&'static str, u64>,
    /// Replies altered on purpose.
    pub n_perturbed: u64,
    /// Of which the comparison noticed.
    pub n_perturbed_found: u64,
}

/// The latest time not after `now_ms` at which data may end.
#[must_use]
pub fn aligned_end_ms(now_ms: i64) -> i64 {
    now_ms - now_ms.rem_euclid(ALIGNMENT_MS)
}

/// Asks all queries of the plan; `report` gets a line now and then, and every difference when it is found.
///
/// # Errors
/// If a server does not start, refuses the data, or does not answer as the API describes.
pub fn run(plan: &Plan, report: &mut dyn FnMut(&str)) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut number = plan.start_at;
    while number < plan.start_at + plan.n_queries {
        let block = number / QUERIES_PER_DATASET;
        let last = ((block + 1) * QUERIES_PER_DATASET).min(plan.start_at + plan.n_queries);
        let data = dataset(plan.seed.wrapping_add(block), plan.end_ms, plan.repertoire);
        let mut session = Session {
            plan,
            pair: Pair::start(&plan.expected, &plan.actual, &data)?,
            data,
            outcome: &mut outcome,
        };
        for number in number..last {
            session.check(number, report)?;
        }
        number = last;
        report(&format!(
            "{} queries asked, {} with data, {} errors, {} differences",
            outcome.n_queries,
            outcome.n_with_data,
            outcome.n_errors,
            outcome.differences.len()
        ));
    }
    Ok(outcome)
}

/// Both servers with one set of data.
struct Session<'a> {
    plan: &'a Plan,
    pair: Pair,
    data: Dataset,
    outcome: &'a mut Outcome,
}

impl Session<'_> {
    fn check(&mut self, number: u64, report: &mut dyn FnMut(&str)) -> Result<()> {
        let window = Window {
            start_ms: self.plan.end_ms - SPAN_MS,
            end_ms: self.plan.end_ms,
        };
        let case = generator::case(self.plan.seed, number, window, self.plan.repertoire);
        let (expected, mut actual) = self.pair.ask(&case)?;
        self.outcome.n_queries += 1;
        self.outcome.n_with_data += u64::from(expected.has_data());
        self.outcome.n_errors += u64::from(!expected.error.is_empty());
        let perturbed = self.perturb(number, &case, &mut actual);
        let Some(difference) = difference(&case, &expected, &actual) else {
            return Ok(());
        };
        if perturbed {
            self.outcome.n_perturbed_found += 1;
            return Ok(());
        }
        let evidence = Evidence {
            case: &case,
            expected: &expected,
            actual: &actual,
            difference: &difference,
            pair: &self.pair,
        };
        if let Some(deviation) = justified(&evidence) {
            if self.plan.shows_justified {
                let text = describe(number, &case, &difference, &expected, &actual);
                report(&format!("justified, {}: {text}", deviation.name));
            }
            *self.outcome.justified.entry(deviation.name).or_default() += 1;
            return Ok(());
        }
        let text = if self.outcome.differences.len() < self.plan.n_shrunk {
            self.shrink(number, case, &difference)?
        } else {
            describe(number, &case, &difference, &expected, &actual)
        };
        report(&text);
        self.outcome.differences.push(text);
        Ok(())
    }

    fn perturb(&mut self, number: u64, case: &Case, actual: &mut Reply) -> bool {
        let Some(one_in) = self.plan.perturb_one_in else {
            return false;
        };
        let mut perturbation = Perturbation::new(self.plan.seed, number);
        let altered = perturbation.alters_one_in(one_in) && perturbation.alter(case.stability(), actual);
        self.outcome.n_perturbed += u64::from(altered);
        altered
    }

    /// The smallest case and data found that differ in the same respect, described.
    fn shrink(&self, number: u64, case: Case, first: &Difference) -> Result<String> {
        let differs = |pair: &Pair, case: &Case| {
            let Ok((expected, actual)) = pair.ask(case) else {
                return false;
            };
            difference(case, &expected, &actual).is_some_and(|found| {
                let evidence = Evidence {
                    case,
                    expected: &expected,
                    actual: &actual,
                    difference: &found,
                    pair,
                };
                found.is_like(first) && justified(&evidence).is_none()
            })
        };
        let original = case.clone();
        let small = shrink_case(case, |candidate| differs(&self.pair, candidate));
        let start = |data: &Dataset| Pair::start(&self.plan.expected, &self.plan.actual, data);
        let data = shrink_data(self.data.clone(), |data| {
            start(data).is_ok_and(|pair| differs(&pair, &small))
        });
        let pair = start(&data)?;
        let (expected, actual) = pair.ask(&small)?;
        let difference = difference(&small, &expected, &actual).unwrap_or_else(|| first.clone());
        let mut text = describe(number, &small, &difference, &expected, &actual);
        if small != original {
            text += &format!("\n  shrunk from {original}");
        }
        if data.n_samples() < 400 {
            let origin_ms = self.plan.end_ms - SPAN_MS;
            text += &format!(
                "\n  data, seconds after {}:\n{}",
                origin_ms / 1_000,
                data.describe(origin_ms)
            );
        } else {
            text += &format!(
                "\n  with {} series, {} samples",
                data.series.len(),
                data.n_samples()
            );
        }
        Ok(text)
    }
}

fn describe(number: u64, case: &Case, difference: &Difference, expected: &Reply, actual: &Reply) -> String {
    format!(
        "query {number}: {:?}: {}\n  {case}\n  expected {expected}\n  actual   {actual}",
        difference.aspect, difference.what
    )
}
