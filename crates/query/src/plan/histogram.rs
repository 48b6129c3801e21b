//! `histogram_quantile` and `histogram_fraction`: which series are the buckets of which histogram.

use model::BUCKET_LABEL;
use model::number::push_exposition_float;
use promql::ast::{Call, Expr};
use promql::kernel::histogram::parse_bound;

use super::call::argument;
use super::labels::text;
use super::{Frame, Planner, Vector, unsupported};
use crate::QueryError;
use crate::exec::histogram::{BadSeries, Histogram, HistogramFold, HistogramFunction, HistogramLayout};
use crate::exec::merge_duplicates::Overlap;
use crate::exec::notes::NoteSink;
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
        let vector = self.vector(buckets, &frame.with_buckets()).await?;
        if vector.is_empty() {
            return Ok(vector);
        }
        self.ledger.try_add_values::<[u64; 6]>(vector.table.n_series())?;
        let (mut layout, first) = layout(&vector.table);
        layout.has_names = self.shared.options.delayed_name_removal;
        let n_values = function.n_values();
        let mut rows = first.repeat(n_values);
        let mut table = vector.table.take(rows.clone(), false).remove(&[BUCKET_LABEL]);
        if layout.bad.is_empty() {
            // Histograms are told apart by all labels but `le`.
            table = table.assume_distinct();
        } else {
            let bad: Vec<u32> = layout.bad.iter().map(|bad| bad.series_idx).collect();
            let bad = bad.repeat(n_values);
            table = table.concat(&vector.table.take(bad.clone(), false));
            rows.extend(bad);
        }
        if let Some((label, values)) = labelled {
            table = table.set(label, repeated(&values, [first.len(), layout.bad.len()]));
        }
        let notes = NoteSink::new(&self.annotations, buckets.unparenthesized().span, &vector.table);
        let marked = vector.marked.take(&rows);
        let folded = Vector {
            plan: HistogramFold::plan(vector.plan, layout, function, frame.steps, notes, &frame.schema),
            table: table.clone(),
            marked,
        };
        let folded = folded.with_table(&table, Overlap::OtherSteps, frame);
        Ok(self.drop_names(folded, Overlap::OtherSteps, frame))
    }
}

/// A column of each of the values `n` times, for each `n`.
fn repeated(values: &[Text], counts: [usize; 2]) -> Column {
    let mut dictionary = DictionaryBuilder::new();
    let codes: Vec<u32> = values.iter().map(|value| dictionary.code(value)).collect();
    let each = |n: usize| codes.iter().flat_map(move |&code| std::iter::repeat_n(code, n));
    Column {
        codes: counts.into_iter().flat_map(each).collect(),
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
            None => bad.push((series_idx, code, group)),
        }
    }
    let mut histograms = Vec::new();
    let mut first = Vec::new();
    let mut histogram_of: Vec<Option<u32>> = vec![None; buckets.len()];
    for (group, (mut buckets, first_series)) in buckets.into_iter().zip(groups.first).enumerate() {
        if buckets.is_empty() {
            continue;
        }
        histogram_of[group] = u32::try_from(histograms.len()).ok();
        buckets.sort_by(|left, right| left.0.total_cmp(&right.0));
        let (bounds, series) = buckets.into_iter().unzip();
        histograms.push(Histogram {
            bounds,
            series,
            native: None,
        });
        first.push(first_series);
    }
    let bad = bad.into_iter().map(|(series_idx, code, group)| {
        let le = le.values[code as usize].to_string();
        let rival = histogram_of[group as usize].filter(|_| le.is_empty());
        if let Some(rival) = rival {
            histograms[rival as usize].native = Some(series_idx);
        }
        BadSeries {
            series_idx,
            le,
            rival,
        }
    });
    let layout = HistogramLayout {
        bad: bad.collect(),
        histograms,
        n_series: table.n_series(),
        has_names: false,
    };
    (layout, first)
}
