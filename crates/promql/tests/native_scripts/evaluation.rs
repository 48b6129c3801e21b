//! One step at a time, straight from the tree.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::histogram::CounterResetHint;
use model::{Labels, METRIC_NAME, TimeRange};
use promql::QueryTiming;
use promql::ast::{At, Call, DurationExpr, Expr, ExprKind, Extended, Shift, Subquery, VectorSelector};
use promql::function::FunctionId;
use promql::kernel::native::{
    About, Extension, FloatOrHistogram, MixedWindow, NativeRangeFunction, Notes, arithmetic, fraction,
    quantile, reset, smoothed, statistics,
};
use promql::kernel::range::RangeFunction;

use crate::store::{self, Sample, Store, is_stale};
use crate::window::Window;

const LOOKBACK_MS: i64 = 300_000;

pub(crate) type Series = (Labels, FloatOrHistogram);

#[derive(Debug)]
pub(crate) enum Value {
    Scalar(f64),
    Vector(Vec<Series>),
}

impl Value {
    pub(crate) fn series(&self) -> &[Series] {
        match self {
            Self::Vector(series) => series,
            Self::Scalar(_) => &[],
        }
    }
}

/// What this evaluation leaves out.
#[derive(Debug)]
pub(crate) struct Unsupported;

pub(crate) type Result<T> = std::result::Result<T, Unsupported>;

/// What stands around a selector.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Around {
    /// Only count and sum will be asked for …
    pub(crate) statistics: bool,
    /// … but the buckets are needed on the way.
    pub(crate) buckets: bool,
}

pub(crate) struct Evaluation<'a> {
    store: &'a Store,
    start_ms: i64,
    end_ms: i64,
    annotations: BTreeMap<String, ()>,
}

impl<'a> Evaluation<'a> {
    pub(crate) fn new(store: &'a Store, start_ms: i64, end_ms: i64) -> Self {
        Self {
            store,
            start_ms,
            end_ms,
            annotations: BTreeMap::new(),
        }
    }

    pub(crate) fn annotations(&self) -> Vec<String> {
        self.annotations.keys().cloned().collect()
    }

    pub(crate) fn evaluate(&mut self, expr: &Expr, at_ms: i64) -> Result<Value> {
        self.expr(expr, at_ms, Around::default())
    }

    pub(crate) fn note(&mut self, notes: Notes, metric: &str, operator: &'static str) {
        for annotation in notes.annotations(About { metric, operator }) {
            self.annotations.insert(annotation.to_string(), ());
        }
    }

    pub(crate) fn expr(&mut self, expr: &Expr, at_ms: i64, around: Around) -> Result<Value> {
        match &expr.kind {
            ExprKind::Number(value) => Ok(Value::Scalar(*value)),
            ExprKind::Paren(inner) | ExprKind::Plus(inner) => self.expr(inner, at_ms, around),
            ExprKind::Negate(inner) => self.negate(inner, at_ms, around),
            ExprKind::Selector(selector) => self.selector(selector, at_ms, around).map(Value::Vector),
            ExprKind::Call(call) => self.call(call, at_ms, around),
            ExprKind::Aggregate(aggregate) => self.aggregate(aggregate, at_ms, around).map(Value::Vector),
            ExprKind::Binary(binary) => self.binary(binary, at_ms, around),
            _ => Err(Unsupported),
        }
    }

    pub(crate) fn vector(&mut self, expr: &Expr, at_ms: i64, around: Around) -> Result<Vec<Series>> {
        match self.expr(expr, at_ms, around)? {
            Value::Vector(series) => Ok(series),
            Value::Scalar(_) => Err(Unsupported),
        }
    }

    fn scalar(&mut self, expr: &Expr, at_ms: i64) -> Result<f64> {
        match self.expr(expr, at_ms, Around::default())? {
            Value::Scalar(value) => Ok(value),
            Value::Vector(_) => Err(Unsupported),
        }
    }

    fn negate(&mut self, inner: &Expr, at_ms: i64, around: Around) -> Result<Value> {
        Ok(match self.expr(inner, at_ms, around)? {
            Value::Scalar(value) => Value::Scalar(-value),
            Value::Vector(series) => Value::Vector(
                series
                    .into_iter()
                    .map(|(labels, value)| (without_name(&labels), opposite(value)))
                    .collect(),
            ),
        })
    }

    fn selector(&mut self, selector: &VectorSelector, at_ms: i64, around: Around) -> Result<Vec<Series>> {
        let data_ms = self.shifted(&selector.shift, at_ms)?;
        let mut found = Vec::new();
        for (labels, samples) in self.store.select(&selector.matchers) {
            if selector.extended == Some(Extended::Smoothed) {
                found.extend(
                    self.smoothed(labels, samples, data_ms)
                        .map(|value| (labels.clone(), value)),
                );
                continue;
            }
            let lookback = TimeRange::ending_at(data_ms, LOOKBACK_MS);
            let Some((last_ms, sample)) = samples.range(lookback.start_ms + 1..=data_ms).next_back() else {
                continue;
            };
            let mut value = sample.value.clone();
            if is_stale(&value) {
                continue;
            }
            if around.statistics && !around.buckets && value.histogram().is_some() {
                let window =
                    Window::from_samples(labels, samples, TimeRange::ending_at(*last_ms, LOOKBACK_MS));
                let mut statistics = reset::statistics_only(&window.histograms.values);
                value = FloatOrHistogram::Histogram(statistics.pop().unwrap());
            }
            found.push((labels.clone(), value));
        }
        Ok(found)
    }

    fn smoothed(
        &mut self,
        labels: &Labels,
        samples: &store::Samples,
        at_ms: i64,
    ) -> Option<FloatOrHistogram> {
        let around = TimeRange {
            start_ms: at_ms - LOOKBACK_MS,
            end_ms: at_ms + LOOKBACK_MS,
        };
        let window = Window::from_samples(labels, samples, around);
        let mut notes = Notes::default();
        let value = smoothed(
            window.floats.samples(),
            window.histograms.samples(),
            at_ms,
            &mut notes,
        );
        self.note(notes, labels.get(METRIC_NAME), "");
        value
    }

    fn shifted(&self, shift: &Shift, at_ms: i64) -> Result<i64> {
        let base_ms = match shift.at {
            None => at_ms,
            Some(At::Timestamp(time_ms)) => time_ms,
            Some(At::Start) => self.start_ms,
            Some(At::End) => self.end_ms,
        };
        let offset_ms = shift.offset.as_ref().map_or(Ok(0), duration_ms)?;
        Ok(base_ms - offset_ms)
    }

    fn call(&mut self, call: &Call, at_ms: i64, around: Around) -> Result<Value> {
        let id = call.function.id;
        if let Some(argument) = call.arguments.iter().find(|argument| is_matrix(argument)) {
            return self.range_call(call, argument, at_ms, around).map(Value::Vector);
        }
        match id {
            FunctionId::Scalar => {
                let mut floats = Vec::new();
                for (_, value) in self.vector(&call.arguments[0], at_ms, around)? {
                    if let FloatOrHistogram::Float(value) = value {
                        floats.push(value);
                    }
                }
                Ok(Value::Scalar(if let [one] = *floats { one } else { f64::NAN }))
            }
            FunctionId::Vector => {
                let value = self.scalar(&call.arguments[0], at_ms)?;
                Ok(Value::Vector(vec![(Labels::default(), value.into())]))
            }
            FunctionId::HistogramQuantiles => self.quantiles(call, at_ms).map(Value::Vector),
            FunctionId::HistogramCount
            | FunctionId::HistogramSum
            | FunctionId::HistogramAvg
            | FunctionId::HistogramStddev
            | FunctionId::HistogramStdvar
            | FunctionId::HistogramQuantile
            | FunctionId::HistogramFraction => self.histogram_call(call, at_ms, around).map(Value::Vector),
            _ => Err(Unsupported),
        }
    }

    fn histogram_call(&mut self, call: &Call, at_ms: i64, around: Around) -> Result<Vec<Series>> {
        let id = call.function.id;
        let [parameters @ .., argument] = &*call.arguments else {
            return Err(Unsupported);
        };
        let is_statistic = matches!(
            id,
            FunctionId::HistogramCount | FunctionId::HistogramSum | FunctionId::HistogramAvg
        );
        let needs_buckets = matches!(id, FunctionId::HistogramQuantile | FunctionId::HistogramFraction);
        let inside = Around {
            statistics: around.statistics || is_statistic,
            buckets: around.buckets || needs_buckets,
        };
        let mut numbers = Vec::new();
        for parameter in parameters {
            numbers.push(self.scalar(parameter, at_ms)?);
        }
        if let (FunctionId::HistogramQuantile, [phi]) = (id, &*numbers) {
            self.check_phi(*phi);
        }
        let mut found = Vec::new();
        for (labels, value) in self.vector(argument, at_ms, inside)? {
            let mut notes = Notes::default();
            let Some(histogram) = value.histogram() else {
                if needs_buckets {
                    return Err(Unsupported);
                }
                continue;
            };
            let result = match (id, &*numbers) {
                (FunctionId::HistogramCount, []) => statistics::count(histogram),
                (FunctionId::HistogramSum, []) => statistics::sum(histogram),
                (FunctionId::HistogramAvg, []) => statistics::avg(histogram),
                (FunctionId::HistogramStdvar, []) => statistics::variance(histogram),
                (FunctionId::HistogramStddev, []) => statistics::deviation(histogram),
                (FunctionId::HistogramQuantile, [phi]) => quantile(*phi, histogram, &mut notes),
                (FunctionId::HistogramFraction, [lower, upper]) => {
                    fraction(*lower, *upper, histogram, &mut notes)
                }
                _ => return Err(Unsupported),
            };
            self.note(notes, labels.get(METRIC_NAME), "");
            found.push((without_name(&labels), result.into()));
        }
        Ok(found)
    }

    fn check_phi(&mut self, phi: f64) {
        if promql::kernel::quantile::is_invalid_quantile(phi) {
            let annotation = promql::annotation::Annotation::InvalidQuantile(phi);
            self.annotations.insert(annotation.to_string(), ());
        }
    }

    fn quantiles(&mut self, call: &Call, at_ms: i64) -> Result<Vec<Series>> {
        let [argument, label, phis @ ..] = &*call.arguments else {
            return Err(Unsupported);
        };
        let ExprKind::String(label) = &label.kind else {
            return Err(Unsupported);
        };
        let series = self.vector(
            argument,
            at_ms,
            Around {
                statistics: false,
                buckets: true,
            },
        )?;
        let mut found = Vec::new();
        for phi in phis {
            let phi = self.scalar(phi, at_ms)?;
            self.check_phi(phi);
            for (labels, value) in &series {
                let mut notes = Notes::default();
                let Some(histogram) = value.histogram() else {
                    return Err(Unsupported);
                };
                let result = quantile(phi, histogram, &mut notes);
                self.note(notes, labels.get(METRIC_NAME), "");
                let named = pairs(labels).filter(|(name, _)| name != METRIC_NAME);
                let labels = named.chain([(label.clone(), format!("{phi:?}"))]);
                found.push((Labels::from_pairs(labels).unwrap(), result.into()));
            }
        }
        Ok(found)
    }

    fn range_call(
        &mut self,
        call: &Call,
        argument: &Expr,
        at_ms: i64,
        around: Around,
    ) -> Result<Vec<Series>> {
        let mut parameters = Vec::new();
        for parameter in call.arguments.iter().filter(|argument| !is_matrix(argument)) {
            parameters.push(self.scalar(parameter, at_ms)?);
        }
        let Ok(function) = RangeFunction::new(call.function.id, &parameters) else {
            return Err(Unsupported);
        };
        if call.function.id == FunctionId::AbsentOverTime {
            return Err(Unsupported);
        }
        let (windows, range, extended) = self.windows(argument, at_ms, around)?;
        let mut found = Vec::new();
        for window in windows {
            let resets = reset::resets(&window.histograms.values);
            let mixed = MixedWindow {
                floats: window.floats.samples(),
                histograms: window.histograms.samples(),
                resets: &resets,
                range,
                evaluation_ms: at_ms,
            };
            if let (RangeFunction::Quantile(phi), false) = (function, window.floats.values.is_empty()) {
                self.check_phi(phi);
            }
            let mut notes = Notes::default();
            let native = NativeRangeFunction(function);
            let result = match extended {
                None => native.evaluate(&mixed, &mut notes),
                Some(Extended::Anchored) => native.evaluate_extended(Extension::Anchored, &mixed, &mut notes),
                Some(Extended::Smoothed) => native.evaluate_extended(Extension::Smoothed, &mixed, &mut notes),
            };
            self.note(notes, window.labels.get(METRIC_NAME), "");
            let labels = if function.keeps_name() {
                window.labels
            } else {
                without_name(&window.labels)
            };
            found.extend(result.map(|result| (labels, result)));
        }
        Ok(found)
    }

    fn windows(
        &mut self,
        argument: &Expr,
        at_ms: i64,
        around: Around,
    ) -> Result<(Vec<Window>, TimeRange, Option<Extended>)> {
        let matrix = match &argument.unparenthesized().kind {
            ExprKind::Range(matrix) => matrix,
            ExprKind::Subquery(subquery) => return self.subquery(subquery, at_ms),
            _ => return Err(Unsupported),
        };
        let end_ms = self.shifted(&matrix.selector.shift, at_ms)?;
        let range = TimeRange::ending_at(end_ms, duration_ms(&matrix.range)?);
        let extended = matrix.selector.extended;
        let read = TimeRange {
            start_ms: range.start_ms - if extended.is_some() { LOOKBACK_MS } else { 0 },
            end_ms: range.end_ms
                + if extended == Some(Extended::Smoothed) {
                    LOOKBACK_MS
                } else {
                    0
                },
        };
        let mut windows = Vec::new();
        for (labels, samples) in self.store.select(&matrix.selector.matchers) {
            let mut window = Window::from_samples(labels, samples, read);
            if around.statistics && !around.buckets {
                window.histograms.values = reset::statistics_only(&window.histograms.values);
            }
            if !window.is_empty() {
                windows.push(window);
            }
        }
        Ok((windows, range, extended))
    }

    fn subquery(
        &mut self,
        subquery: &Subquery,
        at_ms: i64,
    ) -> Result<(Vec<Window>, TimeRange, Option<Extended>)> {
        let end_ms = self.shifted(&subquery.shift, at_ms)?;
        let range = TimeRange::ending_at(end_ms, duration_ms(&subquery.range)?);
        let step_ms = subquery.step.as_ref().map_or(Ok(60_000), duration_ms)?;
        let mut windows: BTreeMap<Labels, Window> = BTreeMap::new();
        let mut time_ms = (range.start_ms.div_euclid(step_ms) + 1) * step_ms;
        let barred = Around {
            statistics: false,
            buckets: true,
        };
        while time_ms <= range.end_ms {
            for (labels, value) in self.vector(&subquery.expr, time_ms, barred)? {
                let window = windows.entry(labels.clone()).or_default();
                window.labels = labels;
                let value = with_unknown_hint(value);
                window.push(time_ms, &Sample { value, start_ms: 0 });
            }
            time_ms += step_ms;
        }
        Ok((windows.into_values().collect(), range, None))
    }
}

fn opposite(value: FloatOrHistogram) -> FloatOrHistogram {
    match value {
        FloatOrHistogram::Float(value) => (-value).into(),
        FloatOrHistogram::Histogram(mut histogram) => {
            arithmetic::negate(Arc::make_mut(&mut histogram));
            FloatOrHistogram::Histogram(histogram)
        }
    }
}

fn with_unknown_hint(value: FloatOrHistogram) -> FloatOrHistogram {
    match value {
        FloatOrHistogram::Histogram(mut histogram)
            if histogram.counter_reset_hint != CounterResetHint::Gauge =>
        {
            Arc::make_mut(&mut histogram).counter_reset_hint = CounterResetHint::Unknown;
            FloatOrHistogram::Histogram(histogram)
        }
        other => other,
    }
}

fn is_matrix(expr: &Expr) -> bool {
    expr.value_type() == promql::ast::ValueType::Matrix
}

fn duration_ms(duration: &DurationExpr) -> Result<i64> {
    match duration.evaluate_ms(QueryTiming::default()) {
        Ok(duration_ms) => Ok(duration_ms),
        Err(_) => Err(Unsupported),
    }
}

pub(crate) fn pairs(labels: &Labels) -> impl Iterator<Item = (String, String)> + '_ {
    labels
        .iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
}

pub(crate) fn without_name(labels: &Labels) -> Labels {
    Labels::from_pairs(pairs(labels).filter(|(name, _)| name != METRIC_NAME)).unwrap()
}
