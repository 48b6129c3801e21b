//! Histograms answered in the form that is asked for, whichever is stored ([`EngineOptions::either_histogram_form`]).
//!
//! Of a selector that names one metric exactly, [`select`] also gives what the other form says:
//!
//! | asked for | also given |
//! |---|---|
//! | `x` | classic histograms `x_bucket`, `x_count`, `x_sum` as native ones with custom bounds, where `le` is not asked for |
//! | `x_bucket` | the buckets of native histograms `x`, at the ends of those that hold anything |
//! | `x_count`, `x_sum` | counts and sums of native histograms `x` |
//!
//! - What is stored under the name that is asked for counts: of one histogram the other form only gives samples at other
//!   times. So a service that went from one form to the other has one history, and one that has both is counted once.
//! - Lists of series and labels, `/federate` and SQL show what is stored.
//!
//! Cost: selecting `x_bucket`, `x_count` or `x_sum` reads the native histograms once more, because a query lists its series
//! first, and whether there are any, and their bounds, lies in the samples; to keep them until they are read again would
//! take the memory of all of them instead of those of one series. They count against the limits of the query like
//! histograms that are asked for as they are, and again as what is made of them.
//!
//! `native` makes native histograms, `classic` buckets, `converted` is the selection of both, `keyed` puts it together with
//! what is stored.
//!
//! [`EngineOptions::either_histogram_form`]: crate::EngineOptions::either_histogram_form

mod classic;
mod converted;
mod keyed;
mod native;

use std::sync::Arc;

use model::{BUCKET_LABEL, METRIC_NAME, MatchOp, Matcher, TimeRange};
use storage::{Selection, Source};

use self::classic::ClassicPart;
use crate::QueryError;
use crate::context::Limits;
use crate::memory::Ledger;

/// What a query may read and hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget<'a> {
    pub(crate) limits: &'a Limits,
    pub(crate) ledger: &'a Ledger,
}

/// What a selector asks for, if it names one metric.
struct Question<'a> {
    name: &'a str,
    /// Its matchers but those of the name and of `le`.
    others: Vec<Matcher>,
    /// Those of `le`.
    bounds: Vec<Matcher>,
}

/// As [`Source::select`], with histograms in either form. Reads samples, so it takes longer than that.
///
/// # Errors
/// Those of the store, and those of a query beyond its limits.
pub(crate) fn select(
    source: &dyn Source,
    matchers: &[Matcher],
    range: TimeRange,
    budget: Budget<'_>,
) -> Result<Arc<dyn Selection>, QueryError> {
    let mut found = source.select(matchers, range)?;
    let Some(question) = Question::of(matchers) else {
        return Ok(found);
    };
    // A histogram may have a name like `empty_bucket`.
    let native = native::select(source, &question, range)?;
    let classic = match ClassicPart::split(question.name) {
        Some(asked) => classic::select(source, &question, asked, range, budget)?,
        None => None,
    };
    for made in native.into_iter().chain(classic) {
        found = keyed::join(found, made);
    }
    Ok(found)
}

impl<'a> Question<'a> {
    fn of(matchers: &'a [Matcher]) -> Option<Self> {
        let mut names = matchers.iter().filter(|matcher| matcher.name() == METRIC_NAME);
        let name = names
            .next()
            .filter(|name| name.op() == MatchOp::Equal && !name.value().is_empty())?;
        if names.next().is_some() {
            return None;
        }
        let others = matchers.iter().filter(|matcher| matcher.name() != METRIC_NAME);
        let (bounds, others) = others
            .cloned()
            .partition(|matcher| matcher.name() == BUCKET_LABEL);
        Some(Self {
            name: name.value(),
            others,
            bounds,
        })
    }

    /// The matchers of the series of another name, whatever their `le`.
    fn renamed(&self, name: Matcher) -> Vec<Matcher> {
        std::iter::once(name).chain(self.others.iter().cloned()).collect()
    }
}
