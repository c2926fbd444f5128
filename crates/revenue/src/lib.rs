//! The `revenue` room.
