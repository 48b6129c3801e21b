//! Shapes of the messages that are checked when their series is read, and read later: exemplars. See `proto/` for what
//! they mean.

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
