//! The `connect` room.
