//! Joining the streams of parts.

use std::ops::Range;
use std::sync::Arc;

use catalog::LaneName;
use hashbrown::HashMap;
use model::Labels;

use super::part::{Part, StreamKeys};
use crate::SelectedStream;

/// The streams of several parts, each once.
#[derive(Debug, Default)]
pub(super) struct Union {
    pub(super) streams: Vec<SelectedStream>,
    /// Where the parts of each stream stand in `pieces`.
    ranges: Vec<Range<u32>>,
    pieces: Vec<Piece>,
    maps: Vec<LaneMap>,
    pub(super) n_series: usize,
}

/// What one part has of a stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    pub(super) part: u32,
    /// Position in the part's selection.
    pub(super) stream: u32,
    map: u32,
}

/// By lane of the union: the lane of the part, or [`NO_LANE`].
pub(super) type LaneMap = Arc<[u32]>;

/// The part does not have the lane.
pub(crate) const NO_LANE: u32 = u32::MAX;

/// The lists of lanes that pieces of a stream have: parts and positions of their lists.
type Lists = Vec<(u32, u32)>;

impl Union {
    /// Joins the streams of `parts`.
    pub(super) fn new(parts: &[Part]) -> Self {
        let keys: Vec<StreamKeys> = parts.iter().map(|part| part.keys.stream_keys()).collect();
        let (base_ranks, entities) = (base_ranks(&keys), Entities::new(parts, &keys));
        let mut found: HashMap<(u32, u32), Vec<Piece>> = HashMap::new();
        let mut order = Vec::new();
        for (part, keys) in (0_u32..).zip(&keys) {
            for (stream, key) in (0_u32..).zip(&keys.streams) {
                let base = base_ranks[part as usize][key.base as usize];
                let place = (base, entities.rank(key.identity));
                let pieces = found.entry(place).or_insert_with(|| {
                    order.push(place);
                    Vec::with_capacity(parts.len())
                });
                let map = u32::MAX;
                pieces.push(Piece { part, stream, map });
            }
        }
        order.sort();
        let mut union = Self::default();
        let mut known: HashMap<Lists, (u32, Vec<u32>)> = HashMap::new();
        for place in order {
            let pieces = &found[&place];
            let list = |piece: &Piece| {
                (
                    piece.part,
                    keys[piece.part as usize].streams[piece.stream as usize].lanes,
                )
            };
            let lists: Lists = pieces.iter().map(list).collect();
            let (n_lanes, maps) = known
                .entry(lists)
                .or_insert_with_key(|lists| union.maps_of(lists, &keys));
            union.push(pieces, *n_lanes, maps);
        }
        union
    }

    /// What the parts have of a stream, in order of precedence.
    pub(super) fn pieces(&self, stream_idx: usize) -> &[Piece] {
        let range = &self.ranges[stream_idx];
        &self.pieces[range.start as usize..range.end as usize]
    }

    pub(super) fn map(&self, piece: &Piece) -> &LaneMap {
        &self.maps[piece.map as usize]
    }

    /// True when a piece has all lanes of its stream: they then have the same positions.
    pub(super) fn is_whole(&self, stream_idx: usize, piece: &Piece) -> bool {
        let (map, n_lanes) = (self.map(piece), self.streams[stream_idx].n_lanes as usize);
        map.len() == n_lanes && (0..).zip(map.iter()).all(|(lane, part_lane)| lane == *part_lane)
    }

    fn push(&mut self, pieces: &[Piece], n_lanes: u32, maps: &[u32]) {
        let start = self.pieces.len() as u32;
        let mapped = pieces
            .iter()
            .zip(maps)
            .map(|(piece, map)| Piece { map: *map, ..*piece });
        self.pieces.extend(mapped);
        self.ranges.push(start..self.pieces.len() as u32);
        self.streams.push(SelectedStream {
            first_series: self.n_series as u32,
            n_lanes,
        });
        self.n_series += n_lanes as usize;
    }

    /// The number of lanes that these lists have together, and the positions of new maps for them.
    fn maps_of(&mut self, lists: &Lists, keys: &[StreamKeys]) -> (u32, Vec<u32>) {
        let of_list = |(part, list): &(u32, u32)| &keys[*part as usize].lanes[*list as usize];
        let mut all: Vec<&LaneName> = lists.iter().flat_map(|list| of_list(list).iter()).collect();
        all.sort_by(|a, b| a.kind().compare(&b.kind()));
        all.dedup();
        let maps = lists.iter().map(|list| {
            let lanes = of_list(list);
            let place = |lane: &&LaneName| lanes.iter().position(|own| own == *lane);
            let map = all
                .iter()
                .map(|lane| place(lane).map_or(NO_LANE, |place| place as u32));
            self.maps.push(map.collect());
            self.maps.len() as u32 - 1
        });
        (all.len() as u32, maps.collect())
    }
}

/// By part, the rank of each of its base metric names among those of all.
fn base_ranks(keys: &[StreamKeys]) -> Vec<Vec<u32>> {
    let mut all: Vec<&Arc<str>> = keys.iter().flat_map(|keys| &keys.bases).collect();
    all.sort_unstable();
    all.dedup();
    let rank = |base: &Arc<str>| all.partition_point(|other| *other < base) as u32;
    keys.iter()
        .map(|keys| keys.bases.iter().map(rank).collect())
        .collect()
}

/// The entities of all parts.
struct Entities {
    ranks: HashMap<u128, u32>,
}

impl Entities {
    fn new(parts: &[Part], keys: &[StreamKeys]) -> Self {
        let mut ranks = HashMap::new();
        let mut labels: Vec<(Labels, u128)> = Vec::new();
        for (part, keys) in parts.iter().zip(keys) {
            for key in &keys.streams {
                ranks.entry(key.identity).or_insert_with(|| {
                    labels.push((part.keys.entity_labels(key.entity), key.identity));
                    0
                });
            }
        }
        // Stable, because that one is fast where runs are sorted already, as those of blocks are.
        labels.sort_by(|a, b| a.0.cmp(&b.0));
        for (rank, (_, identity)) in (0_u32..).zip(&labels) {
            ranks.insert(*identity, rank);
        }
        Self { ranks }
    }

    fn rank(&self, identity: u128) -> u32 {
        self.ranks[&identity]
    }
}
