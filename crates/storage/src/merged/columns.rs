//! Label columns of a union: those of the parts, their codes made one.

use std::sync::Arc;

use hashbrown::HashMap;
use model::LabelColumn;

use super::part::Part;
use super::union::{NO_LANE, Union};

/// The code of a part's value in the union is not known yet.
const UNKNOWN: u32 = u32::MAX;

/// One part's column.
struct PartColumn {
    column: LabelColumn,
    /// By code of the part.
    codes: Vec<u32>,
}

/// The labels of the union's series, taken from the first part that has each.
pub(super) fn label_column(union: &Union, parts: &[Part], name: &str) -> LabelColumn {
    let mut columns: Vec<PartColumn> = parts
        .iter()
        .map(|part| {
            let column = part.selection.label_column(name);
            let codes = vec![UNKNOWN; column.values.len()];
            PartColumn { column, codes }
        })
        .collect();
    let mut values: Vec<Arc<str>> = vec![Arc::from("")];
    let mut known: HashMap<Arc<str>, u32> = HashMap::from_iter([(Arc::from(""), 0)]);
    let mut codes = Vec::with_capacity(union.n_series);
    for (stream_idx, stream) in union.streams.iter().enumerate() {
        for lane in 0..stream.n_lanes as usize {
            let pieces = union.pieces(stream_idx).iter();
            let found = pieces
                .map(|piece| (piece, union.map(piece)[lane]))
                .find(|(_, part_lane)| *part_lane != NO_LANE);
            let (piece, part_lane) = found.expect("a lane of the union is one of a part");
            let part = piece.part as usize;
            let first = parts[part].selection.streams()[piece.stream as usize].first_series;
            let PartColumn {
                column,
                codes: part_codes,
            } = &mut columns[part];
            let part_code = column.codes[(first + part_lane) as usize] as usize;
            if part_codes[part_code] == UNKNOWN {
                let value = &column.values[part_code];
                part_codes[part_code] = *known.entry(Arc::clone(value)).or_insert_with(|| {
                    values.push(Arc::clone(value));
                    values.len() as u32 - 1
                });
            }
            codes.push(part_codes[part_code]);
        }
    }
    LabelColumn { codes, values }
}
