//! Foreign schemas: remote write and text exposition, to and from the model.
#![forbid(unsafe_code)]
