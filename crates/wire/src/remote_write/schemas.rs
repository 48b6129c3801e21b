//! Shapes of the messages that are counted and checked, but not stored yet. See `proto/` for what they mean.

use crate::protobuf::{Field, Kind, Schema};

static LABEL: Schema = Schema {
    wrong_type: "field of a Label with the wrong wire type",
    fields: &[Field(1, Kind::Bytes), Field(2, Kind::Bytes)],
};

/// An exemplar of remote write 1.0.
pub(super) static EXEMPLAR_V1: Schema = Schema {
    wrong_type: "field of an Exemplar with the wrong wire type",
    fields: &[
        Field(1, Kind::Message(&LABEL)),
        Field(2, Kind::Fixed64),
        Field(3, Kind::Varint),
    ],
};

/// An exemplar of remote write 2.0.
pub(super) static EXEMPLAR_V2: Schema = Schema {
    wrong_type: "field of an Exemplar with the wrong wire type",
    fields: &[
        Field(1, Kind::Varints),
        Field(2, Kind::Fixed64),
        Field(3, Kind::Varint),
    ],
};

static BUCKET_SPAN: Schema = Schema {
    wrong_type: "field of a BucketSpan with the wrong wire type",
    fields: &[Field(1, Kind::Varint), Field(2, Kind::Varint)],
};

/// A native histogram, of both protocols.
pub(super) static HISTOGRAM: Schema = Schema {
    wrong_type: "field of a Histogram with the wrong wire type",
    fields: &[
        Field(1, Kind::Varint),
        Field(2, Kind::Fixed64),
        Field(3, Kind::Fixed64),
        Field(4, Kind::Varint),
        Field(5, Kind::Fixed64),
        Field(6, Kind::Varint),
        Field(7, Kind::Fixed64),
        Field(8, Kind::Message(&BUCKET_SPAN)),
        Field(9, Kind::Varints),
        Field(10, Kind::Fixed64s),
        Field(11, Kind::Message(&BUCKET_SPAN)),
        Field(12, Kind::Varints),
        Field(13, Kind::Fixed64s),
        Field(14, Kind::Varint),
        Field(15, Kind::Varint),
        Field(16, Kind::Fixed64s),
        Field(17, Kind::Varint),
    ],
};
