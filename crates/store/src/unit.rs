//! Writes as data: statements with the row counts they must have, bundled into units that succeed or fail whole.
//!
//! A unit never reads an answer back and never branches: what it decides upon was read before, and each statement's
//! expectation holds the decision to be still right. So the committer can put any units into one transaction, and
//! the same units can be sent pipelined to a database that is a network away.

use jiff::Timestamp;
use rusqlite::ToSql;
use rusqlite::types::{ToSqlOutput, ValueRef};
use std::sync::Arc;

use crate::row::Row;

/// What kind of value a parameter or a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Integer,
    Text,
    Blob,
}

/// A value bound to a parameter, or read from a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Param {
    /// Nothing, where a value of this kind could be. Of a null that was read from SQLite the kind is not known, nor
    /// needed.
    Null(Kind),
    Integer(i64),
    Text(Arc<str>),
    Blob(Arc<[u8]>),
}

/// How many rows a statement must touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    Any,
    Exactly(u64),
}

impl Expect {
    pub(crate) fn met(self, rows: u64) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(wanted) => rows == wanted,
        }
    }
}

/// One statement: constant text with parameters `?1`, `?2`, … and their values.
#[derive(Clone, Debug)]
pub struct Statement {
    pub sql: &'static str,
    pub params: Vec<Param>,
    pub expect: Expect,
}

/// How a counter moves when its unit is committed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum By {
    /// By this much.
    Fixed(i64),
    /// By the rows that statement n touched.
    Rows(usize),
    /// By one if statement n touched no row.
    Missed(usize),
}

/// A counter's movement, part of the unit: not counted if the unit fails.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    pub workspace: Arc<str>,
    pub counter: &'static str,
    pub by: By,
}

/// What nobody else may do while a unit is under way. On SQLite nobody does anything meanwhile; on PostgreSQL, where a
/// statement does not see what others are about to commit, these are locks, taken before the unit's first statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Lock {
    /// Give a turn in this lane.
    Lane { workspace: Arc<str>, flow: Arc<str>, lane: Arc<str> },
    /// Give a turn in the lane of this run, or pause its flow.
    LaneOf { workspace: Arc<str>, run: Arc<str> },
    /// Pause this flow, or let it go on.
    FlowShared { workspace: Arc<str>, flow: Arc<str> },
    /// Give a turn anywhere in this flow.
    Flow { workspace: Arc<str>, flow: Arc<str> },
    /// Dispatch an event that is heard under this type, or begin to listen for it.
    Listen { workspace: Arc<str>, r#type: Arc<str> },
    /// Begin to listen for this type.
    Hear { workspace: Arc<str>, r#type: Arc<str> },
    /// Move anything to history or back.
    Moving,
}

/// Statements that take effect together or not at all. One unit touches one workspace.
#[derive(Clone, Debug, Default)]
pub struct Unit {
    pub(crate) locks: Vec<Lock>,
    pub(crate) statements: Vec<Statement>,
    pub(crate) tallies: Vec<Tally>,
}

impl Unit {
    /// A unit of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a statement of which any number of rows is right.
    pub fn then(self, sql: &'static str, params: Vec<Param>) -> Self {
        self.expecting(sql, params, Expect::Any)
    }

    /// Adds a statement that must touch exactly one row.
    pub fn one(self, sql: &'static str, params: Vec<Param>) -> Self {
        self.expecting(sql, params, Expect::Exactly(1))
    }

    /// Adds a statement with its expectation.
    pub fn expecting(mut self, sql: &'static str, params: Vec<Param>, expect: Expect) -> Self {
        self.statements.push(Statement { sql, params, expect });
        self
    }

    /// Adds the statements of another unit, of which nothing is counted.
    pub(crate) fn and(mut self, other: Unit) -> Self {
        self.locks.extend(other.locks);
        self.statements.extend(other.statements);
        self
    }

    pub(crate) fn locking(mut self, lock: Lock) -> Self {
        self.locks.push(lock);
        self
    }

    /// Asks for the lane of a run.
    pub(crate) fn in_lane_of(self, workspace: impl AsRef<str>, run: impl AsRef<str>) -> Self {
        self.locking(Lock::LaneOf { workspace: workspace.as_ref().into(), run: run.as_ref().into() })
    }

    pub(crate) fn tally(mut self, workspace: impl AsRef<str>, counter: &'static str, by: By) -> Self {
        self.tallies.push(Tally { workspace: workspace.as_ref().into(), counter, by });
        self
    }

    /// The statements, in order.
    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }
}

/// What a committed unit did: the rows touched, by statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnitResult {
    pub rows: Vec<u64>,
    /// What its statements answered.
    pub(crate) returned: Vec<Row>,
}

impl ToSql for Param {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null(_) => ValueRef::Null,
            Self::Integer(value) => ValueRef::Integer(*value),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

impl From<i64> for Param {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<u32> for Param {
    fn from(value: u32) -> Self {
        Self::Integer(value.into())
    }
}

impl From<u64> for Param {
    /// Counters and epochs: far from 2⁶³.
    fn from(value: u64) -> Self {
        Self::Integer(value.cast_signed())
    }
}

impl From<bool> for Param {
    fn from(value: bool) -> Self {
        Self::Integer(value.into())
    }
}

impl From<&str> for Param {
    fn from(value: &str) -> Self {
        Self::Text(value.into())
    }
}

impl From<String> for Param {
    fn from(value: String) -> Self {
        Self::Text(value.into())
    }
}

impl From<&String> for Param {
    fn from(value: &String) -> Self {
        Self::Text(value.as_str().into())
    }
}

impl From<Vec<u8>> for Param {
    fn from(value: Vec<u8>) -> Self {
        Self::Blob(value.into())
    }
}

/// Instants are stored as whole microseconds since 1970.
impl From<Timestamp> for Param {
    fn from(value: Timestamp) -> Self {
        Self::Integer(value.as_microsecond())
    }
}

/// Types of one kind of value: a missing one is a null of that kind.
pub(crate) trait OfKind {
    const KIND: Kind;
}

macro_rules! kinds {
    ($($type:ty => $kind:ident),* $(,)?) => {$(
        impl OfKind for $type {
            const KIND: Kind = Kind::$kind;
        }
    )*};
}
kinds!(
    i64 => Integer,
    u32 => Integer,
    u64 => Integer,
    bool => Integer,
    Timestamp => Integer,
    &str => Text,
    String => Text,
    &String => Text,
    Vec<u8> => Blob,
    &flow::WorkspaceId => Text,
    &flow::EventId => Text,
    &flow::RunId => Text,
    &flow::HookId => Text,
    &flow::ConnectionId => Text,
    &flow::ApprovalId => Text,
);

impl<T: Into<Param> + OfKind> From<Option<T>> for Param {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null(T::KIND), Into::into)
    }
}

macro_rules! ids {
    ($($id:ty),*) => {$(
        impl From<&$id> for Param {
            fn from(id: &$id) -> Self {
                Self::Text(id.as_str().into())
            }
        }
    )*};
}
ids!(flow::WorkspaceId, flow::EventId, flow::RunId, flow::HookId, flow::ConnectionId, flow::ApprovalId);

/// The values of one statement, in order.
macro_rules! values {
    ($($value:expr),* $(,)?) => { vec![$($crate::unit::Param::from($value)),*] };
}
pub(crate) use values;
