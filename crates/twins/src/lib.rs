//! The `twins` room.
