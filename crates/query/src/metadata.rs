//! Questions about series instead of values: series, labels, label values, newest samples.

use std::sync::Arc;

use model::{METRIC_NAME, Matcher, TimeRange, TimestampMs};
use storage::{NewestBuffer, Source};

use crate::context::Limits;
use crate::labels::{LabelSets, SeriesTable};
use crate::memory::Ledger;
use crate::result::{NewestSamples, Text};
use crate::{QueryError, rows};

/// The label sets that one of the selectors picks, without repeats.
pub(crate) fn series(
    source: &dyn Source,
    selectors: &[Vec<Matcher>],
    range: TimeRange,
    limit: Option<usize>,
    ledger: &Ledger,
) -> Result<LabelSets, QueryError> {
    let mut tables = Vec::new();
    for matchers in selectors {
        let selection = source.select(matchers, range)?;
        ledger.try_add_values::<u64>(selection.n_series())?;
        tables.push(SeriesTable::of_selection(selection, None, ledger));
    }
    let Some(union) = tables.into_iter().reduce(|union, table| union.concat(&table)) else {
        return Ok(LabelSets::default());
    };
    let mut rows = match union.duplicates() {
        Some(groups) => groups.first,
        None => positions(union.n_series()),
    };
    rows.truncate(limit.unwrap_or(usize::MAX));
    let found = LabelSets::of_table(&union.take(rows, true)).held_in(ledger);
    ledger.check()?;
    Ok(found)
}

/// The label names of the series that one of the selectors picks, sorted.
pub(crate) fn label_names(
    source: &dyn Source,
    selectors: &[Vec<Matcher>],
    range: TimeRange,
) -> Result<Vec<Text>, QueryError> {
    if selectors.is_empty() {
        return Ok(source.label_names(range)?);
    }
    let mut names = Vec::new();
    for matchers in selectors {
        names.extend(source.select(matchers, range)?.label_names());
    }
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

/// The values of one label of the series that one of the selectors picks, sorted.
pub(crate) fn label_values(
    source: &dyn Source,
    name: &str,
    selectors: &[Vec<Matcher>],
    range: TimeRange,
    ledger: &Ledger,
) -> Result<Vec<Text>, QueryError> {
    if selectors.is_empty() {
        return Ok(source.label_values(name, range)?);
    }
    let mut values = Vec::new();
    for matchers in selectors {
        let selection = source.select(matchers, range)?;
        ledger.try_add_values::<u32>(selection.n_series())?;
        let column = selection.label_column(name);
        let mut is_used = vec![false; column.values.len()];
        for &code in &column.codes {
            is_used[code as usize] = true;
        }
        let used = column.values.into_iter().zip(is_used).skip(1);
        values.extend(used.filter(|(_, is_used)| *is_used).map(|(value, _)| value));
    }
    values.sort_unstable();
    values.dedup();
    Ok(values)
}

/// The newest sample of each series that one of the selectors picks; stale series are left out.
pub(crate) fn newest(
    source: &dyn Source,
    selectors: &[Vec<Matcher>],
    range: TimeRange,
    limits: &Limits,
    ledger: &Ledger,
) -> Result<NewestSamples, QueryError> {
    let mut union: Option<SeriesTable> = None;
    let mut samples: Vec<Option<(TimestampMs, f64)>> = Vec::new();
    let mut buffer = NewestBuffer::default();
    for matchers in selectors {
        let selection = source.select(matchers, range)?;
        // Twice: found, and in order.
        ledger.try_add_values::<[Option<(TimestampMs, f64)>; 2]>(selection.n_series())?;
        for (stream_idx, stream) in selection.streams().iter().enumerate() {
            limits.check()?;
            selection.read_newest(stream_idx, range, &mut buffer)?;
            limits.add_samples(u64::from(stream.n_lanes), 0, u64::from(stream.n_lanes))?;
            for (lane, _) in &buffer.histograms {
                // The text format has no native histograms.
                buffer.samples[*lane as usize] = None;
            }
            samples.extend_from_slice(&buffer.samples);
        }
        let table = SeriesTable::of_selection(Arc::clone(&selection), None, ledger);
        union = Some(union.map_or_else(|| table.clone(), |union| union.concat(&table)));
    }
    let Some(union) = union else {
        return Ok(NewestSamples {
            labels: LabelSets::default(),
            samples: Vec::new(),
        });
    };
    let mut rows = match union.duplicates() {
        Some(groups) => groups.first,
        None => positions(union.n_series()),
    };
    rows.retain(|&row| matches!(samples[row as usize], Some((_, value)) if !rows::is_absent(value)));
    let table = union.take(rows.clone(), true);
    let labels = LabelSets::of_table(&table);
    ledger.check()?;
    let names = table.column(METRIC_NAME);
    let mut order = positions(rows.len());
    order.sort_by(|&a, &b| {
        let (a, b) = (a as usize, b as usize);
        names
            .value(a)
            .cmp(names.value(b))
            .then_with(|| labels.compare(a, b))
    });
    let sample =
        |&position: &u32| samples[rows[position as usize] as usize].expect("only present ones were kept");
    Ok(NewestSamples {
        samples: order.iter().map(sample).collect(),
        labels: labels.take(&order).held_in(ledger),
    })
}

/// `0 .. n`.
fn positions(n: usize) -> Vec<u32> {
    (0..u32::try_from(n).expect("fewer than 2^32 series")).collect()
}
