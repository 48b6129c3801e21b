//! `histogram_quantile` and `histogram_fraction`: which series are the buckets of which histogram.

use model::number::push_exposition_float;
use model::{BUCKET_LABEL, METRIC_NAME};
use promql::ast::{Call, Expr};
use promql::kernel::histogram::parse_bound;

use super::call::argument;
use super::labels::text;
use super::{Frame, Planner, Vector, unsupported};
use crate::QueryError;
use crate::exec::histogram::{Histogram, HistogramFold, HistogramFunction, HistogramLayout};
use crate::exec::merge_duplicates::Overlap;
use crate::labels::column::DictionaryBuilder;
use crate::labels::{Column, SeriesTable};
use crate::result::Text;

impl Planner {
    pub(crate) async fn histogram_quantile(&self, call: &Call, frame: &Frame) -> Result<Vector, QueryError> {
        let phi = self.scalar(argument(call, 0)?, frame).await?;
        self.note_invalid_quantiles(&phi, argument(call, 0)?);
        let quantile = HistogramFunction::Quantiles(vec![phi]);
        self.fold_buckets(argument(call, 1)?, quantile, None, frame).await
    }

    /// Several quantiles, told apart by a label.
    pub(crate) async fn histogram_quantiles(&self, call: &Call, frame: &Frame) -> Result<Vector, QueryError> {
        let mut phis = Vec::new();
        let mut values = Vec::new();
        for position in 2..call.arguments.len() {
            let expr = argument(call, position)?;
            let phi = self.scalar(expr, frame).await?;
            self.note_invalid_quantiles(&phi, expr);
            let [first, rest @ ..] = &*phi else {
                return Err(QueryError::internal("a scalar has a value"));
            };
            if rest.iter().any(|other| other.to_bits() != first.to_bits()) {
                return Err(unsupported(
                    "histogram_quantiles of a quantile that changes from step to step",
                ));
            }
            values.push(quantile_text(*first));
            phis.push(phi);
        }
        let labelled = Some((text(call, 1)?, values));
        self.fold_buckets(
            argument(call, 0)?,
            HistogramFunction::Quantiles(phis),
            labelled,
            frame,
        )
        .await
    }

    pub(crate) async fn histogram_fraction(&self, call: &Call, frame: &Frame) -> Result<Vector, QueryError> {
        let lower = self.scalar(argument(call, 0)?, frame).await?;
        let upper = self.scalar(argument(call, 1)?, frame).await?;
        self.fold_buckets(
            argument(call, 2)?,
            HistogramFunction::Fraction { lower, upper },
            None,
            frame,
        )
        .await
    }

    /// `labelled` has a label, and its value for each value of the function.
    async fn fold_buckets(
        &self,
        buckets: &Expr,
        function: HistogramFunction,
        labelled: Option<(&str, Vec<Text>)>,
        frame: &Frame,
    ) -> Result<Vector, QueryError> {
        let vector = self.vector(buckets, frame).await?;
        let (mut layout, first) = layout(&vector.table);
        if self.shared.options.delayed_name_removal {
            layout.names = Some(vector.table.column(METRIC_NAME));
        }
        let rows = first.repeat(function.n_values());
        let table = vector.table.take(rows.clone(), false).remove(&[BUCKET_LABEL]);
        let table = match labelled {
            // Histograms are told apart by all labels but `le`.
            None => table.assume_distinct(),
            Some((label, values)) => table.set(label, repeated(&values, first.len())),
        };
        let about = (self.annotations.clone(), buckets.unparenthesized().span);
        let marked = vector.marked.take(&rows);
        let folded = Vector {
            plan: HistogramFold::plan(vector.plan, layout, function, frame.steps, about, &frame.schema),
            table: table.clone(),
            marked,
        };
        let folded = folded.with_table(&table, Overlap::OtherSteps, frame);
        Ok(self.drop_names(folded, Overlap::OtherSteps, frame))
    }
}

/// A column of each of the values `n` times.
fn repeated(values: &[Text], n: usize) -> Column {
    let mut dictionary = DictionaryBuilder::new();
    let codes: Vec<u32> = values.iter().map(|value| dictionary.code(value)).collect();
    Column {
        codes: codes
            .into_iter()
            .flat_map(|code| std::iter::repeat_n(code, n))
            .collect(),
        values: dictionary.finish(),
    }
}

/// A quantile as label value: like OpenMetrics writes numbers, never without a point or an exponent.
fn quantile_text(phi: f64) -> Text {
    let mut text = String::new();
    push_exposition_float(&mut text, phi);
    if phi.is_finite() && !text.contains(['.', 'e']) {
        text.push_str(".0");
    }
    text.into()
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
        names: None,
    };
    (layout, first)
}
