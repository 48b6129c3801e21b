//! `info()`: labels of info series, such as `target_info`, are added to the series that describe the same target.
//!
//! The info series are read while planning, because what they are called at which step decides which series the result
//! has; the series that get the labels run through a [`Route`]. Targets are told apart by `instance` and `job`. Of
//! several info series of one metric and target, the one with the newest sample counts.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use model::{METRIC_NAME, MatchOp, Matcher};
use promql::ast::{Aggregate, Call, Expr, ExprKind, Shift, Span};
use promql::kernel::window::StepTimes;

use super::frame::duration_error;
use super::{Frame, Planner, Vector};
use crate::QueryError;
use crate::exec::collect::collect;
use crate::exec::lane::{LaneFunction, LaneFunctionKind};
use crate::exec::leaf::Leaf;
use crate::exec::merge_duplicates::Overlap;
use crate::exec::notes::NoteSink;
use crate::exec::route::{Route, Routing, Target};
use crate::exec::scan::Scan;
use crate::explain::Counted;
use crate::labels::column::DictionaryBuilder;
use crate::labels::{Column, SeriesTable};
use crate::result::Text;
use crate::rows::{Rows, is_absent};

/// The labels that tell targets apart. Prometheus has them fixed, too.
const IDENTIFYING_LABELS: [&str; 2] = ["instance", "job"];

/// What the second argument asks for.
struct Filter {
    /// Which metrics are info metrics.
    names: Vec<Matcher>,
    /// Which of their labels are wanted, and with which values; all labels if there is none.
    data: Vec<Matcher>,
}

/// The newest info series of each info metric that a target has at a step.
type Combination = Vec<u32>;

/// What info series say of one target over time.
struct Timetable {
    /// Without repeats.
    combinations: Vec<Combination>,
    /// The position of each step's in `combinations`; empty if it is the same for all.
    choices: Vec<u32>,
}

/// All that info series say.
struct Info {
    /// The labels of the info series.
    table: SeriesTable,
    /// The first is for series without a target.
    timetables: Vec<Timetable>,
    /// Of each series that is to be enriched.
    timetable_of: Vec<u32>,
    /// Steps at which the info series of a target cannot be told apart, and what is to be said then.
    refusals: Vec<(usize, String)>,
}

/// One series of the result: a series of the input with the labels of a combination.
struct Enriched {
    base: u32,
    timetable: u32,
    combination: u32,
}

impl Planner {
    /// Plans `info(vector, {filter})`.
    pub(crate) async fn info(&self, call: &Call, frame: &Frame) -> Result<Vector, QueryError> {
        let argument = super::call::argument(call, 0)?;
        let base = self.vector(argument, frame).await?;
        let filter = Filter::of(call);
        let is_info = filter.info_series_of(&base.table);
        let times = self.reference_times(argument, frame)?;
        let info = self
            .read_info(&base.table, &is_info, &filter, times, frame)
            .await?;
        let (routing, series) = info.routing(&base.table, &is_info, &filter);
        let table = info.labels(&base.table, &series, &filter);
        let rows: Vec<u32> = series.iter().map(|series| series.base).collect();
        let vector = Vector {
            marked: base.marked.take(&rows),
            plan: Route::plan(base.plan, routing, &frame.schema),
            table: table.clone(),
        };
        Ok(vector.with_table(&table, Overlap::OtherSteps, frame))
    }

    /// When info series are looked at: where the first selector of the argument looks.
    fn reference_times(&self, argument: &Expr, frame: &Frame) -> Result<StepTimes, QueryError> {
        let (mut offset_ms, mut pinned) = (0_i64, Shift::default());
        for shift in shifts(argument).unwrap_or_default() {
            if let Some(offset) = &shift.offset {
                let own_ms = offset.evaluate_ms(self.timing).map_err(duration_error)?;
                offset_ms = offset_ms.saturating_add(own_ms);
            }
            if shift.at.is_some() {
                pinned.at = shift.at;
                break;
            }
        }
        let times = self.shifted(frame.steps, &pinned)?;
        Ok(times.shifted(offset_ms.saturating_neg()))
    }

    async fn read_info(
        &self,
        base: &SeriesTable,
        is_info: &[bool],
        filter: &Filter,
        times: StepTimes,
        frame: &Frame,
    ) -> Result<Info, QueryError> {
        let wanted = identifying_values(base, is_info);
        if wanted.iter().all(HashSet::is_empty) {
            return Ok(Info::nothing(base.n_series()));
        }
        let function = LaneFunction {
            kind: LaneFunctionKind::NewestFloatTime,
            window_ms: self.lookback_ms,
            evaluation: frame.steps,
            times,
            skips_buckets: false,
            beyond: None,
            uses_starts: false,
        };
        let matchers: Vec<Matcher> = filter.names.iter().chain(&filter.data).cloned().collect();
        let selection = self.select(&matchers, &function).await?;
        let table = SeriesTable::of_selection(Arc::clone(&selection), None, &self.ledger);
        let kept = series_with(&table, &wanted);
        if kept.is_empty() {
            return Ok(Info::nothing(base.n_series()));
        }
        let n_parts = Self::n_parts(table.n_series(), frame);
        let leaf = Leaf {
            selection,
            function,
            watch: None,
            notes: NoteSink::new(&self.annotations, Span::default(), &table),
            limits: self.limits.clone(),
            tally: self.tally(frame),
            counted: Counted::default(),
        };
        let plan = Scan::plan(leaf, &frame.schema, n_parts);
        let collected = collect(&plan, &self.task).await?;
        self.ledger
            .try_add_values::<[u64; 4]>(base.n_series() + table.n_series())?;
        let mut newest = Newest::new(base, &table, &kept, frame.steps.n_steps);
        for batch in &collected.batches {
            for (series_idx, row) in Rows::of(batch)?.iter() {
                if newest.see(&table, series_idx, row.values) {
                    // The winner of each step, and later which combination it belongs to.
                    self.ledger
                        .try_add_values::<((f64, u32), [u32; 4])>(row.values.len())?;
                }
            }
        }
        Ok(newest.into_info(table, is_info))
    }
}

/// The shifts that move the first selector of an expression, from the inside to the outside.
fn shifts(expr: &Expr) -> Option<Vec<&Shift>> {
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::String(_) => None,
        ExprKind::Selector(selector) => Some(vec![&selector.shift]),
        ExprKind::Range(range) => Some(vec![&range.selector.shift]),
        ExprKind::Subquery(subquery) => {
            let mut inner = shifts(&subquery.expr)?;
            inner.push(&subquery.shift);
            Some(inner)
        }
        ExprKind::Call(call) => call.arguments.iter().find_map(shifts),
        ExprKind::Aggregate(Aggregate { expr, parameter, .. }) => {
            shifts(expr).or_else(|| parameter.as_deref().and_then(shifts))
        }
        ExprKind::Binary(operation) => shifts(&operation.left).or_else(|| shifts(&operation.right)),
        ExprKind::Negate(inner) | ExprKind::Plus(inner) | ExprKind::Paren(inner) => shifts(inner),
    }
}

/// The values of each identifying label among the series to be enriched.
fn identifying_values(base: &SeriesTable, is_info: &[bool]) -> [HashSet<Text>; 2] {
    IDENTIFYING_LABELS.map(|name| {
        let column = base.column(name);
        let codes = column.codes.iter().zip(is_info);
        let codes: HashSet<u32> = codes
            .filter(|&(&code, &is_info)| code != 0 && !is_info)
            .map(|(&code, _)| code)
            .collect();
        let values = column.values.iter().zip(0..);
        let values = values.filter(|(_, code)| codes.contains(code));
        values.map(|(value, _)| Arc::clone(value)).collect()
    })
}

/// The series of `table` that have one of the values of each identifying label, where there are any.
fn series_with(table: &SeriesTable, wanted: &[HashSet<Text>; 2]) -> Vec<u32> {
    let mut kept: Vec<u32> = (0..).take(table.n_series()).collect();
    for (name, wanted) in IDENTIFYING_LABELS.iter().zip(wanted) {
        if !wanted.is_empty() {
            let column = table.column(name);
            let is_wanted: Vec<bool> = column.values.iter().map(|value| wanted.contains(value)).collect();
            kept.retain(|&series_idx| is_wanted[column.codes[series_idx as usize] as usize]);
        }
    }
    kept
}

impl Filter {
    fn of(call: &Call) -> Self {
        let selector = match call.arguments.get(1).map(|filter| &filter.unparenthesized().kind) {
            Some(ExprKind::Selector(selector)) => selector.matchers.as_slice(),
            _ => &[],
        };
        let (mut names, data): (Vec<Matcher>, Vec<Matcher>) = selector
            .iter()
            .cloned()
            .partition(|matcher| matcher.name() == METRIC_NAME);
        if names.is_empty() {
            names.push(Matcher::equal(METRIC_NAME, "target_info"));
        } else if names.iter().all(Matcher::is_negative) {
            let any_info = Matcher::new(MatchOp::Regex, METRIC_NAME, ".+_info");
            names.insert(0, any_info.expect("the expression is valid"));
        }
        Self { names, data }
    }

    /// Which series are info series themselves; they stay as they are.
    fn info_series_of(&self, table: &SeriesTable) -> Vec<bool> {
        let column = table.column(METRIC_NAME);
        let is_info = |name: &Text| self.names.iter().all(|matcher| matcher.matches(name));
        let is_info: Vec<bool> = column.values.iter().map(is_info).collect();
        column.codes.iter().map(|&code| is_info[code as usize]).collect()
    }

    /// True when a label of an info series is asked for.
    fn wants(&self, name: &str) -> bool {
        name != METRIC_NAME
            && (self.data.is_empty() || self.data.iter().any(|matcher| matcher.name() == name))
    }

    /// True when series about which nothing is known are left out.
    fn drops_unknown(&self) -> bool {
        !self.data.iter().all(Matcher::matches_empty)
    }
}

/// The newest info series so far, of each target and info metric.
struct Newest {
    n_steps: usize,
    n_base: usize,
    /// The target of each series to be enriched, and then of each info series.
    targets: Vec<u32>,
    /// Whether an info series is of any use.
    is_kept: Vec<bool>,
    /// By target and code of the metric name: when it was written, in seconds, and which it is; [`NOBODY`] where none.
    best: HashMap<(u32, u32), Winners>,
    /// Of each step at most one.
    refusals: Vec<(usize, String)>,
    is_refused: Vec<bool>,
}

/// Of one target and info metric, by step.
type Winners = Vec<(f64, u32)>;

/// The labels in which the info series of a combination do not agree, with what the input has there.
type Disputes = HashMap<(u32, u32), Vec<(Text, Arc<Column>)>>;

/// No info series.
const NOBODY: u32 = u32::MAX;

impl Newest {
    fn new(base: &SeriesTable, table: &SeriesTable, kept: &[u32], n_steps: usize) -> Self {
        let mut is_kept = vec![false; table.n_series()];
        for &series_idx in kept {
            is_kept[series_idx as usize] = true;
        }
        Self {
            n_steps,
            n_base: base.n_series(),
            targets: base.concat(table).group(&IDENTIFYING_LABELS, false).ids,
            is_kept,
            best: HashMap::new(),
            refusals: Vec::new(),
            is_refused: vec![false; n_steps],
        }
    }

    /// Looks at the row of an info series. True if it is the first of its target and metric.
    fn see(&mut self, table: &SeriesTable, series_idx: u32, row: &[f64]) -> bool {
        if !self.is_kept[series_idx as usize] {
            return false;
        }
        let target = self.targets[self.n_base + series_idx as usize];
        let metric = table.column(METRIC_NAME).codes[series_idx as usize];
        let n_before = self.best.len();
        let best = self.best.entry((target, metric));
        let best = best.or_insert_with(|| vec![(f64::NEG_INFINITY, NOBODY); self.n_steps]);
        for (step, (best, &written)) in best.iter_mut().zip(row).enumerate() {
            if self.is_refused[step] || is_absent(written) || best.0 > written {
                continue;
            }
            if written.is_nan() {
                self.is_refused[step] = true;
                let message = "info sample should be float".to_owned();
                self.refusals.push((step, message));
                continue;
            }
            if best.1 != NOBODY && best.0 == written {
                let ms = written * 1000.0;
                let message = format!(
                    "found duplicate series for info metric: existing {} @ {ms:.0}, new {} @ {ms:.0}",
                    table.display(best.1 as usize),
                    table.display(series_idx as usize)
                );
                self.is_refused[step] = true;
                self.refusals.push((step, message));
                continue;
            }
            *best = (written, series_idx);
        }
        self.best.len() > n_before
    }

    fn into_info(self, table: SeriesTable, is_info: &[bool]) -> Info {
        let mut by_target: HashMap<u32, Vec<Winners>> = HashMap::new();
        let mut keys: Vec<(u32, u32)> = self.best.keys().copied().collect();
        keys.sort_unstable();
        let mut best = self.best;
        for key in keys {
            let steps = best.remove(&key).unwrap_or_default();
            by_target.entry(key.0).or_default().push(steps);
        }
        let mut info = Info::nothing(self.n_base);
        let mut numbers: HashMap<u32, u32> = HashMap::new();
        let bases = info.timetable_of.iter_mut().zip(&self.targets).zip(is_info);
        for ((timetable, &target), _) in bases.filter(|(_, is_info)| !**is_info) {
            let Some(metrics) = by_target.get(&target) else {
                continue;
            };
            *timetable = *numbers.entry(target).or_insert_with(|| {
                info.timetables.push(Timetable::of(metrics, self.n_steps));
                u32::try_from(info.timetables.len() - 1).expect("targets are counted in 32 bits")
            });
        }
        Info {
            table,
            refusals: self.refusals,
            ..info
        }
    }
}

impl Timetable {
    fn of(metrics: &[Winners], n_steps: usize) -> Self {
        let mut known: HashMap<Combination, u32> = HashMap::new();
        let mut timetable = Self {
            combinations: Vec::new(),
            choices: Vec::with_capacity(n_steps),
        };
        for step in 0..n_steps {
            let at_step = metrics.iter().map(|steps| steps[step].1);
            let combination: Combination = at_step.filter(|&series_idx| series_idx != NOBODY).collect();
            let next = u32::try_from(known.len()).expect("not more than steps");
            let choice = *known.entry(combination).or_insert_with_key(|combination| {
                timetable.combinations.push(combination.clone());
                next
            });
            timetable.choices.push(choice);
        }
        if timetable.combinations.len() == 1 {
            timetable.choices.clear();
        }
        timetable
    }
}

impl Info {
    /// Nothing is known of any series.
    fn nothing(n_base: usize) -> Self {
        Self {
            table: SeriesTable::empty(),
            timetables: vec![Timetable {
                combinations: vec![Vec::new()],
                choices: Vec::new(),
            }],
            timetable_of: vec![0; n_base],
            refusals: Vec::new(),
        }
    }

    /// Where the values of each series go, and the series of the result.
    fn routing(&self, base: &SeriesTable, is_info: &[bool], filter: &Filter) -> (Routing, Vec<Enriched>) {
        let (mut series, mut routing) = (Vec::new(), Routing::default());
        let disputes = self.disputes(base, filter);
        for (base_idx, (&timetable, &is_info)) in (0..).zip(self.timetable_of.iter().zip(is_info)) {
            routing.target_starts.push(routing.targets.len());
            let combinations = &self.timetables[timetable as usize].combinations;
            for (number, combination) in (0..).zip(combinations) {
                let dispute = disputes.get(&(timetable, number)).and_then(|labels| {
                    let is_open = |(_, column): &&(Text, Arc<Column>)| column.codes[base_idx as usize] == 0;
                    labels.iter().find(is_open)
                });
                routing.targets.push(if let Some((label, _)) = dispute {
                    routing.conflicts.push(label.to_string());
                    Target::Conflict(position(routing.conflicts.len() - 1))
                } else if combination.is_empty() && !is_info && filter.drops_unknown() {
                    Target::Nothing
                } else {
                    series.push(Enriched {
                        base: base_idx,
                        timetable,
                        combination: number,
                    });
                    Target::Series(position(series.len() - 1))
                });
            }
        }
        routing.target_starts.push(routing.targets.len());
        routing.timetables.clone_from(&self.timetable_of);
        routing.choices = self
            .timetables
            .iter()
            .map(|timetable| timetable.choices.clone())
            .collect();
        routing.refusals.clone_from(&self.refusals);
        (routing, series)
    }

    fn disputes(&self, base: &SeriesTable, filter: &Filter) -> Disputes {
        let mut disputes = Disputes::new();
        for name in self.wanted_labels(filter) {
            let column = self.table.column(&name);
            for (timetable, number, combination) in self.combinations() {
                let codes = combination
                    .iter()
                    .map(|&series_idx| column.codes[series_idx as usize]);
                let mut codes = codes.filter(|&code| code != 0);
                let first = codes.next();
                if codes.any(|code| Some(code) != first) {
                    let labels = disputes.entry((timetable, number)).or_default();
                    labels.push((Arc::clone(&name), base.column(&name)));
                }
            }
        }
        disputes
    }

    /// The series of the result: what they had before, and of other labels what the info series say.
    fn labels(&self, base: &SeriesTable, series: &[Enriched], filter: &Filter) -> SeriesTable {
        let rows = series.iter().map(|series| series.base).collect();
        let mut table = base.take(rows, false);
        for name in self.wanted_labels(filter) {
            let (before, said) = (table.column(&name), self.table.column(&name));
            let mut dictionary = DictionaryBuilder::with_values(&before.values);
            let mut codes_said: Vec<Vec<u32>> = vec![Vec::new(); self.timetables.len()];
            for (timetable, _, combination) in self.combinations() {
                let values = combination
                    .iter()
                    .map(|&series_idx| said.value(series_idx as usize));
                let value = values.rev().find(|value| !value.is_empty());
                codes_said[timetable as usize].push(value.map_or(0, |value| dictionary.code(value)));
            }
            let codes = before.codes.iter().zip(series).map(|(&code, series)| {
                if code == 0 {
                    codes_said[series.timetable as usize][series.combination as usize]
                } else {
                    code
                }
            });
            let column = Column {
                codes: codes.collect(),
                values: dictionary.finish(),
            };
            table = table.set(&name, column);
        }
        table
    }

    fn wanted_labels(&self, filter: &Filter) -> Vec<Text> {
        let mut names = self.table.label_names();
        names.retain(|name| filter.wants(name));
        names
    }

    /// All combinations: the timetable, the position in it, the info series.
    fn combinations(&self) -> impl Iterator<Item = (u32, u32, &Combination)> {
        (0..).zip(&self.timetables).flat_map(|(number, timetable)| {
            let combinations = (0..).zip(&timetable.combinations);
            combinations.map(move |(position, combination)| (number, position, combination))
        })
    }
}

fn position(position: usize) -> u32 {
    u32::try_from(position).expect("series are counted in 32 bits")
}
