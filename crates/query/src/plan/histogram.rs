//! `histogram_quantile` and `histogram_fraction`: which series are the buckets of which histogram.

use model::BUCKET_LABEL;
use promql::ast::{Call, Expr};
use promql::kernel::histogram::parse_bound;

use super::call::argument;
use super::{Frame, Planner, Vector};
use crate::QueryError;
use crate::exec::histogram::{Histogram, HistogramFold, HistogramFunction, HistogramLayout};
use crate::exec::merge_duplicates::Overlap;
use crate::labels::SeriesTable;

impl Planner {
    pub(crate) async fn histogram_quantile(&self, call: &Call, frame: &Frame) -> Result<Vector, QueryError> {
        let phi = self.scalar(argument(call, 0)?, frame).await?;
        self.note_invalid_quantiles(&phi, call.arguments.first());
        self.fold_buckets(argument(call, 1)?, HistogramFunction::Quantile(phi), frame)
            .await
    }

    pub(crate) async fn histogram_fraction(&self, call: &Call, frame: &Frame) -> Result<Vector, QueryError> {
        let lower = self.scalar(argument(call, 0)?, frame).await?;
        let upper = self.scalar(argument(call, 1)?, frame).await?;
        self.fold_buckets(
            argument(call, 2)?,
            HistogramFunction::Fraction { lower, upper },
            frame,
        )
        .await
    }

    async fn fold_buckets(
        &self,
        buckets: &Expr,
        function: HistogramFunction,
        frame: &Frame,
    ) -> Result<Vector, QueryError> {
        let vector = self.vector(buckets, frame).await?;
        let (layout, first) = layout(&vector.table);
        let table = vector.table.take(first.clone(), false).remove(&[BUCKET_LABEL]);
        let about = (self.annotations.clone(), buckets.span);
        let folded = Vector {
            plan: HistogramFold::plan(vector.plan, layout, function, frame.steps, about, &frame.schema),
            // Histograms are told apart by all labels but `le`.
            table: table.assume_distinct(),
            marked: vector.marked.take(&first),
        };
        Ok(self.drop_names(folded, Overlap::OtherSteps, frame))
    }
}

/// The buckets of each histogram, and the first series of each.
fn layout(table: &SeriesTable) -> (HistogramLayout, Vec<u32>) {
    let le = table.column(BUCKET_LABEL);
    let bounds: Vec<Option<f64>> = le.values.iter().map(|text| parse_bound(text)).collect();
    let groups = table.remove(&[BUCKET_LABEL]).group_by_all();
    let mut buckets: Vec<Vec<(f64, u32)>> = vec![Vec::new(); groups.n_groups()];
    let mut bad = Vec::new();
    for ((series_idx, &code), &group) in (0..).zip(&le.codes).zip(&groups.ids) {
        match bounds[code as usize] {
            Some(bound) => buckets[group as usize].push((bound, series_idx)),
            None => bad.push((series_idx, le.values[code as usize].to_string())),
        }
    }
    let mut histograms = Vec::new();
    let mut first = Vec::new();
    for (mut buckets, first_series) in buckets.into_iter().zip(groups.first) {
        if buckets.is_empty() {
            continue;
        }
        buckets.sort_by(|left, right| left.0.total_cmp(&right.0));
        let (bounds, series) = buckets.into_iter().unzip();
        histograms.push(Histogram { bounds, series });
        first.push(first_series);
    }
    let layout = HistogramLayout {
        histograms,
        bad,
        n_series: table.n_series(),
    };
    (layout, first)
}
