//! `sort`, `sort_desc`, `sort_by_label`, `sort_by_label_desc`. They only matter to instant queries: series of a range
//! query come sorted by labels whatever the query says.

use std::cmp::Ordering;

use promql::annotation::Annotation;
use promql::ast::{Call, Span};
use promql::function::FunctionId;
use promql::kernel::aggregate::Extreme;

use super::call::argument;
use super::labels::text;
use super::{Frame, Planner, Vector};
use crate::QueryError;
use crate::exec::map::{Map, Mapping};
use crate::exec::sort::{Sort, SortKey};
use crate::labels::{LabelSets, SeriesTable};

impl Planner {
    pub(crate) async fn sort(&self, call: &Call, span: Span, frame: &Frame) -> Result<Vector, QueryError> {
        let vector = self.vector(argument(call, 0)?, frame).await?;
        if frame.steps.n_steps > 1 {
            self.annotations.add(Annotation::SortInRangeQuery, span);
            let is_by_value = matches!(call.function.id, FunctionId::Sort | FunctionId::SortDesc);
            return Ok(vector.map_plan(|plan| match is_by_value {
                // Histograms have no place in that order.
                true => Map::plan(plan, Mapping::Floats, &frame.schema),
                false => plan,
            }));
        }
        let key = match call.function.id {
            FunctionId::Sort => SortKey::Value(Extreme::Smallest),
            FunctionId::SortDesc => SortKey::Value(Extreme::Largest),
            id => {
                let labels: Result<Vec<&str>, _> = (1..call.arguments.len())
                    .map(|position| text(call, position))
                    .collect();
                let is_descending = id == FunctionId::SortByLabelDesc;
                SortKey::Rank(ranks(&vector.table, &labels?, is_descending).into())
            }
        };
        Ok(vector.map_plan(|plan| Sort::plan(plan, key, &frame.schema)))
    }
}

/// The place of each series when they are sorted by these labels, and then by all.
fn ranks(table: &SeriesTable, labels: &[&str], is_descending: bool) -> Vec<u32> {
    let columns: Vec<_> = labels.iter().map(|label| table.column(label)).collect();
    let all = LabelSets::of_table(table);
    let compare = |a: usize, b: usize| {
        let mut by_label = columns
            .iter()
            .map(|column| natural_order(column.value(a), column.value(b)));
        by_label
            .find(|ordering| ordering.is_ne())
            .unwrap_or_else(|| all.compare(a, b))
    };
    let mut order: Vec<u32> = (0..).take(table.n_series()).collect();
    order.sort_by(|&a, &b| {
        let ordering = compare(a as usize, b as usize);
        if is_descending {
            ordering.reverse()
        } else {
            ordering
        }
    });
    let mut ranks = vec![0; order.len()];
    for (rank, series_idx) in (0..).zip(order) {
        ranks[series_idx as usize] = rank;
    }
    ranks
}

/// Compares texts the way people count: runs of digits as numbers, everything else by bytes.
fn natural_order(left: &str, right: &str) -> Ordering {
    let (mut left_rest, mut right_rest) = (left, right);
    while let (Some(left_part), Some(right_part)) = (take_part(&mut left_rest), take_part(&mut right_rest)) {
        let ordering = match (left_part.parse::<u64>(), right_part.parse::<u64>()) {
            (Ok(left_number), Ok(right_number)) => left_number.cmp(&right_number),
            _ => left_part.cmp(right_part),
        };
        if ordering.is_ne() {
            return ordering;
        }
    }
    left_rest
        .len()
        .cmp(&right_rest.len())
        .then_with(|| left.cmp(right))
}

/// The digits or the other characters that a text begins with.
fn take_part<'a>(text: &mut &'a str) -> Option<&'a str> {
    let is_number = text.chars().next()?.is_ascii_digit();
    let end = text
        .find(|c: char| c.is_ascii_digit() != is_number)
        .unwrap_or(text.len());
    let (part, rest) = text.split_at(end);
    *text = rest;
    Some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_texts_count_as_numbers() {
        let check = |smaller: &str, larger: &str| {
            assert_eq!(
                natural_order(smaller, larger),
                Ordering::Less,
                "{smaller} {larger}"
            );
            assert_eq!(natural_order(larger, smaller), Ordering::Greater);
        };
        check("cpu2", "cpu10");
        check("4.2.0", "4.10.0");
        check("a", "a1");
        check("", "a");
        check("1", "a");
        check("a01", "a1");
        assert_eq!(natural_order("x1", "x1"), Ordering::Equal);
    }
}
