//! One connection with the statements it has prepared. Everybody may use it at once: what is sent while other answers
//! are under way is pipelined, and answered in order.

use bytes::BytesMut;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Statement};

use super::text::{self, LeaseClock};
use crate::row::{Columns, Row};
use crate::unit::{Kind, Param};

pub(super) type Failure = tokio_postgres::Error;

/// After so many statements of a session its plans are made anew; then four times as many, and so on …
const RENEWED_FIRST: u64 = 64;
/// … up to this many: one planning for each in a thousand or so.
const RENEWED_EVERY: u64 = 16_384;

/// Statements by the place of their text, which is constant.
type Statements = BTreeMap<(usize, usize), Arc<Prepared>>;

pub(super) struct Session {
    pub client: Client,
    clock: LeaseClock,
    statements: Mutex<Statements>,
    /// Statements run, and at how many of them plans are made anew.
    ran: AtomicU64,
    renewed_at: AtomicU64,
}

/// A statement as the server knows it.
pub(super) struct Prepared {
    statement: Statement,
    columns: Columns,
}

/// What a statement did.
pub(super) struct Done {
    pub count: u64,
    pub rows: Vec<Row>,
}

impl Session {
    pub fn new(client: Client, clock: LeaseClock) -> Self {
        Self {
            client,
            clock,
            statements: Mutex::default(),
            ran: AtomicU64::new(0),
            renewed_at: AtomicU64::new(RENEWED_FIRST),
        }
    }

    /// Has plans made anew now and then. One that was made while a table was empty finds a row by whatever index begins
    /// with the workspace, and is kept until PostgreSQL next counts the table's rows, a minute later.
    pub async fn renew_plans(&self) -> Result<(), Failure> {
        let (ran, at) = (self.ran.load(Ordering::Relaxed), self.renewed_at.load(Ordering::Relaxed));
        if ran < at {
            return Ok(());
        }
        self.renewed_at.store(ran + at.saturating_mul(3).min(RENEWED_EVERY), Ordering::Relaxed);
        self.client.batch_execute("DISCARD PLANS").await
    }

    /// Prepares a statement unless it is; its parameters are of the kinds of these values.
    pub async fn prepared(&self, sql: &'static str, params: &[Param]) -> Result<Arc<Prepared>, Failure> {
        let place = (sql.as_ptr().addr(), sql.len());
        let statements = || self.statements.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = statements().get(&place) {
            return Ok(known.clone());
        }
        let types: Vec<Type> = params.iter().map(type_of).collect();
        let statement = self.client.prepare_typed(&text::statement(sql, self.clock), &types).await?;
        let columns = statement.columns().iter().map(|column| column.name().into()).collect();
        let prepared = Arc::new(Prepared { statement, columns });
        statements().insert(place, prepared.clone());
        Ok(prepared)
    }

    /// The statement that takes locks, which is PostgreSQL's own.
    pub async fn lock(&self, sql: &'static str) -> Result<Statement, Failure> {
        Ok(self.prepared(sql, &[]).await?.statement.clone())
    }

    /// Runs a prepared statement. It is sent at the first poll.
    pub async fn run(&self, prepared: &Prepared, params: &[Param]) -> Result<Done, Failure> {
        self.ran.fetch_add(1, Ordering::Relaxed);
        let mut stream = pin!(self.client.query_raw(&prepared.statement, params).await?);
        let mut rows = Vec::new();
        while let Some(row) = next(stream.as_mut()).await {
            rows.push(row_of(&prepared.columns, &row?)?);
        }
        Ok(Done { count: stream.rows_affected().unwrap_or_default(), rows })
    }
}

async fn next(
    mut stream: Pin<&mut tokio_postgres::RowStream>,
) -> Option<Result<tokio_postgres::Row, Failure>> {
    std::future::poll_fn(|cx| futures_util::Stream::poll_next(stream.as_mut(), cx)).await
}

/// Runs futures of one session so that all of them are sent before the first is answered.
pub(super) async fn pipelined<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut futures: Vec<Pin<Box<F>>> = futures.into_iter().map(Box::pin).collect();
    let mut done: Vec<Option<F::Output>> = Vec::with_capacity(futures.len());
    let mut sent = false;
    let mut first = 0;
    std::future::poll_fn(|cx| {
        if !sent {
            sent = true;
            done.extend(futures.iter_mut().map(|future| match future.as_mut().poll(cx) {
                Poll::Ready(output) => Some(output),
                Poll::Pending => None,
            }));
        }
        // Answers come in order: nobody needs to ask for the second before the first is there.
        while let (Some(slot), Some(future)) = (done.get_mut(first), futures.get_mut(first)) {
            if slot.is_none() {
                match future.as_mut().poll(cx) {
                    Poll::Ready(output) => *slot = Some(output),
                    Poll::Pending => return Poll::Pending,
                }
            }
            first += 1;
        }
        Poll::Ready(())
    })
    .await;
    done.into_iter().flatten().collect()
}

fn type_of(param: &Param) -> Type {
    match param {
        Param::Integer(_) | Param::Null(Kind::Integer) => Type::INT8,
        Param::Text(_) | Param::Null(Kind::Text) => Type::TEXT,
        Param::Blob(_) | Param::Null(Kind::Blob) => Type::BYTEA,
    }
}

fn row_of(columns: &Columns, row: &tokio_postgres::Row) -> Result<Row, Failure> {
    let value = |index: usize| -> Result<Param, Failure> {
        Ok(match *row.columns()[index].type_() {
            Type::INT8 => {
                row.try_get::<_, Option<i64>>(index)?.map_or(Param::Null(Kind::Integer), Param::Integer)
            }
            Type::INT4 => {
                let number = row.try_get::<_, Option<i32>>(index)?;
                number.map_or(Param::Null(Kind::Integer), |number| Param::Integer(number.into()))
            }
            Type::BOOL => {
                let told = row.try_get::<_, Option<bool>>(index)?;
                told.map_or(Param::Null(Kind::Integer), |told| Param::Integer(told.into()))
            }
            Type::BYTEA => {
                let bytes = row.try_get::<_, Option<&[u8]>>(index)?;
                bytes.map_or(Param::Null(Kind::Blob), |bytes| Param::Blob(bytes.into()))
            }
            _ => {
                let text = row.try_get::<_, Option<&str>>(index)?;
                text.map_or(Param::Null(Kind::Text), |text| Param::Text(text.into()))
            }
        })
    };
    let values = (0..columns.len()).map(value).collect::<Result<_, _>>()?;
    Ok(Row::new(columns.clone(), values))
}

impl ToSql for Param {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Null(_) => return Ok(IsNull::Yes),
            Self::Integer(number) => out.extend_from_slice(&number.to_be_bytes()),
            Self::Text(text) => out.extend_from_slice(text.as_bytes()),
            Self::Blob(bytes) => out.extend_from_slice(bytes),
        }
        Ok(IsNull::No)
    }

    fn accepts(kind: &Type) -> bool {
        matches!(*kind, Type::INT8 | Type::TEXT | Type::BYTEA)
    }

    to_sql_checked!();
}
