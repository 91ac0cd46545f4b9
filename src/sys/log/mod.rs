//! Log files: writing and bounding them, following them, copying them to a stream.

pub(crate) mod file;
pub(crate) mod follower;
pub(crate) mod tee;
