//! Reads as data: a statement with its values, and the rows that it answers, the same whatever the database underneath.

use flow::{ApprovalId, ConnectionId, EventId, HookId, RunId, WorkspaceId};
use jiff::Timestamp;
use std::sync::Arc;

use crate::unit::Param;
use crate::{Error, Result};

/// One read: constant text with parameters `?1`, `?2`, … and their values.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub sql: &'static str,
    pub params: Vec<Param>,
}

impl Query {
    pub fn new(sql: &'static str, params: Vec<Param>) -> Self {
        Self { sql, params }
    }
}

/// The names of a statement's columns, shared by its rows.
pub(crate) type Columns = Arc<[Box<str>]>;

/// One row of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    columns: Columns,
    values: Vec<Param>,
}

impl Row {
    pub fn new(columns: Columns, values: Vec<Param>) -> Self {
        Self { columns, values }
    }

    /// The value of a column.
    pub fn get<T: FromValue>(&self, column: &str) -> Result<T> {
        let value = self.value(column)?;
        T::from_value(value).ok_or_else(|| Error::corrupt("row", format!("{column} is {value:?}")))
    }

    /// The bytes of a column, where they stand.
    pub fn bytes(&self, column: &str) -> Result<&[u8]> {
        self.maybe_bytes(column)?.ok_or_else(|| Error::corrupt("row", format!("{column} is null")))
    }

    /// The bytes of a column that may be null.
    pub fn maybe_bytes(&self, column: &str) -> Result<Option<&[u8]>> {
        match self.value(column)? {
            Param::Null(_) => Ok(None),
            Param::Blob(bytes) => Ok(Some(bytes)),
            other => Err(Error::corrupt("row", format!("{column} is {other:?}"))),
        }
    }

    /// Every value, in the order of the columns.
    pub fn into_values(self) -> Vec<Param> {
        self.values
    }

    fn value(&self, column: &str) -> Result<&Param> {
        self.columns
            .iter()
            .position(|name| **name == *column)
            .and_then(|index| self.values.get(index))
            .ok_or_else(|| Error::corrupt("row", format!("no column {column}")))
    }
}

/// What a stored value can be read as.
pub(crate) trait FromValue: Sized {
    fn from_value(value: &Param) -> Option<Self>;
}

impl FromValue for i64 {
    fn from_value(value: &Param) -> Option<Self> {
        match value {
            Param::Integer(number) => Some(*number),
            _ => None,
        }
    }
}

impl FromValue for u64 {
    fn from_value(value: &Param) -> Option<Self> {
        i64::from_value(value)?.try_into().ok()
    }
}

impl FromValue for u32 {
    fn from_value(value: &Param) -> Option<Self> {
        i64::from_value(value)?.try_into().ok()
    }
}

impl FromValue for bool {
    fn from_value(value: &Param) -> Option<Self> {
        i64::from_value(value).map(|number| number != 0)
    }
}

impl FromValue for String {
    fn from_value(value: &Param) -> Option<Self> {
        match value {
            Param::Text(text) => Some(text.as_ref().to_owned()),
            _ => None,
        }
    }
}

/// Instants are stored as whole microseconds since 1970.
impl FromValue for Timestamp {
    fn from_value(value: &Param) -> Option<Self> {
        Timestamp::from_microsecond(i64::from_value(value)?).ok()
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: &Param) -> Option<Self> {
        match value {
            Param::Null(_) => Some(None),
            value => T::from_value(value).map(Some),
        }
    }
}

macro_rules! ids {
    ($($id:ty),*) => {$(
        impl FromValue for $id {
            fn from_value(value: &Param) -> Option<Self> {
                String::from_value(value).map(<$id>::new)
            }
        }
    )*};
}
ids!(WorkspaceId, EventId, RunId, HookId, ConnectionId, ApprovalId);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::Kind;

    #[test]
    fn a_column_is_read_as_what_it_holds_or_told() {
        let columns: Columns = ["n", "text", "none", "bytes"].map(Into::into).into();
        let values =
            vec![Param::Integer(-1), "x".into(), Param::Null(Kind::Text), Param::from(vec![1_u8, 2])];
        let row = Row::new(columns, values);
        assert_eq!(row.get::<i64>("n").unwrap(), -1);
        assert_eq!(row.get::<Timestamp>("n").unwrap().as_microsecond(), -1);
        assert_eq!(row.get::<Option<String>>("text").unwrap(), Some("x".into()));
        assert_eq!(row.get::<Option<i64>>("none").unwrap(), None);
        assert_eq!((row.bytes("bytes").unwrap(), row.maybe_bytes("none").unwrap()), (&[1, 2][..], None));
        let wrong = [
            row.get::<u64>("n").err(),
            row.get::<i64>("text").err(),
            row.get::<String>("none").err(),
            row.bytes("none").map(drop).err(),
            row.maybe_bytes("n").map(drop).err(),
            row.get::<i64>("absent").err(),
        ];
        assert!(wrong.iter().all(|error| matches!(error, Some(Error::Corrupt { .. }))), "{wrong:?}");
    }
}
