//! Values of one series go to several, by step: `info()`, whose labels change over time.

use std::fmt;
use std::sync::Arc;

use arrow_schema::SchemaRef;

use super::operator::{BatchStream, Operator, OperatorExec, Plan, Run, stream_mapped};
use crate::QueryError;
use crate::batch::{Row, RowBuffer};
use crate::rows::{ABSENT, Rows, RowsBuilder, is_absent};

/// Where values go. What does not depend on the series is kept once for all that share it, as a *timetable*.
#[derive(Debug, Default)]
pub(crate) struct Routing {
    /// The timetable of each series of the input.
    pub(crate) timetables: Vec<u32>,
    /// Of each timetable: which of the series' targets is for each step. No list if it is always the first.
    pub(crate) choices: Vec<Vec<u32>>,
    /// The targets of each series of the input, one series after the other.
    pub(crate) targets: Vec<Target>,
    /// Where the targets of each series of the input begin, and the end of all.
    pub(crate) target_starts: Vec<usize>,
    /// Steps at which no series may have a value, and what is to be said then.
    pub(crate) refusals: Vec<(usize, String)>,
    /// The labels that [`Target::Conflict`] tells of.
    pub(crate) conflicts: Vec<String>,
}

/// Where a value goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// To this series of the output.
    Series(u32),
    /// Nowhere.
    Nothing,
    /// It fails the query: two info series do not agree in this label, a position in [`Routing::conflicts`].
    Conflict(u32),
}

/// Sends values to other series.
#[derive(Debug)]
pub(crate) struct Route {
    routing: Arc<Routing>,
}

impl Route {
    /// A node that sends the values of `input` where `routing` says.
    pub(crate) fn plan(input: Plan, routing: Routing, schema: &SchemaRef) -> Plan {
        let node = Self {
            routing: Arc::new(routing),
        };
        OperatorExec::like_input(node, vec![input], schema)
    }
}

impl Operator for Route {
    const NAME: &'static str = "RouteExec";

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Routing {
            timetables, targets, ..
        } = &*self.routing;
        write!(f, "{} series to {}", timetables.len(), targets.len())
    }

    fn run(&self, run: Run<'_>) -> Result<BatchStream, QueryError> {
        let routing = Arc::clone(&self.routing);
        let schema = Arc::clone(&run.schema);
        stream_mapped(&run, move |batch| {
            let rows = Rows::of(batch)?;
            let mut builder = RowsBuilder::new(rows.n_steps(), rows.series.len());
            let mut routed = RowBuffer::new(rows.n_steps());
            for (series_idx, row) in rows.iter() {
                routing.send(series_idx as usize, row, &mut routed, &mut builder)?;
            }
            builder.finish(&schema)
        })
    }
}

impl Routing {
    fn send(
        &self,
        series_idx: usize,
        row: Row<'_>,
        routed: &mut RowBuffer,
        builder: &mut RowsBuilder,
    ) -> Result<(), QueryError> {
        let is_present = |step: usize| !is_absent(row.values[step]) || row.histogram(step).is_some();
        if let Some((_, message)) = self.refusals.iter().find(|(step, _)| is_present(*step)) {
            return Err(QueryError::execution(message.clone()));
        }
        let targets = &self.targets[self.target_starts[series_idx]..self.target_starts[series_idx + 1]];
        let choices = &self.choices[self.timetables[series_idx] as usize];
        for (choice, &target) in (0..).zip(targets) {
            let chosen = if choices.is_empty() {
                row
            } else {
                chosen(row, choices, choice, routed);
                routed.as_row()
            };
            match target {
                Target::Series(target) => builder.push(target, chosen),
                Target::Conflict(label) if !chosen.is_empty() => {
                    let label = &self.conflicts[label as usize];
                    return Err(QueryError::execution(format!("conflicting label: {label}")));
                }
                Target::Nothing | Target::Conflict(_) => {}
            }
        }
        Ok(())
    }
}

/// Copies the values of the steps at which `choice` is made.
fn chosen(row: Row<'_>, choices: &[u32], choice: u32, chosen: &mut RowBuffer) {
    for ((chosen, &value), &made) in chosen.values.iter_mut().zip(row.values).zip(choices) {
        *chosen = if made == choice { value } else { ABSENT };
    }
    chosen.histograms.clear();
    let histograms = row.histograms.iter();
    let histograms = histograms.filter(|histogram| choices[histogram.step as usize] == choice);
    chosen.histograms.extend(histograms.cloned());
}
