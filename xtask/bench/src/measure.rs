//! The phases of a benchmark, in order.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::cluster::Cluster;
use crate::event::{Kind, Template};
use crate::sink::{EVENTS_MAX, Sink};
use crate::subject::{Killed, Subject};
use crate::{Args, load, process, sink};

/// Requests made ahead for each second of load: above what two processors can acknowledge.
const REQUESTS_PER_S: u64 = 25_000;
/// Events before anything is measured, so that caches are filled.
const WARM_UP: u64 = 300;
/// Starts of which the median is told.
const STARTS: usize = 3;
/// What W1 has not told the sink by then never comes.
const ARRIVE_TIME_MAX: Duration = Duration::from_secs(60);
/// Hostile flows run for so long before they are measured beside.
const BURDEN: Duration = Duration::from_secs(6);
/// A server that nobody asks has come to rest by then.
const SETTLE: Duration = Duration::from_secs(2);

/// What was found out.
#[derive(Debug, Default)]
pub struct Found {
    pub bytes_of_event: usize,
    pub connections: usize,
    pub rate: u64,
    pub ready_ms: f64,
    pub binary_mb: f64,
    pub idle_rss_mb: f64,
    pub peak_rss_mb: f64,
    pub bare_per_s: f64,
    pub ack_per_s: f64,
    pub w1: W1,
    pub e2e_ms: Quantiles,
    /// The same beside hostile flows.
    pub e2e_hostile_ms: Quantiles,
}

/// The best round of W1.
#[derive(Debug, Default)]
pub struct W1 {
    pub per_s: f64,
    /// Acknowledged per second while runs go on.
    pub ack_per_s: f64,
    pub cpu_ms: f64,
    pub generator_cpu_ms: f64,
    pub sink_cpu_ms: f64,
    /// Of the database, where it has processes of its own.
    pub database_cpu_ms: Option<f64>,
    pub bytes: f64,
    /// Synced transactions, and statements, where the server counts them.
    pub commits: Option<f64>,
    pub statements: Option<f64>,
}

/// A distribution, in milliseconds.
#[derive(Debug, Default)]
pub struct Quantiles {
    pub p50: f64,
    pub p99: f64,
}

struct Bench<'a> {
    args: &'a Args,
    cluster: Option<&'a Cluster>,
    subject: Subject,
    sink: Sink,
    hook: String,
    template: Template,
    /// The next event's number.
    next: u64,
    /// Runs that must have been completed by now.
    runs: u64,
}

/// Everything, on a fresh server; on PostgreSQL if there is a cluster.
pub fn all(args: &Args, cluster: Option<&Cluster>) -> Result<Found> {
    let binary = std::fs::metadata(&args.binary)
        .with_context(|| format!("{}: `cargo xtask bench` builds it", args.binary.display()))?;
    progress(if cluster.is_some() { "PostgreSQL: time to ready" } else { "SQLite: time to ready" });
    let ready_ms = ready(args, cluster)?;
    let mut bench = Bench::start(args, cluster)?;
    std::thread::sleep(SETTLE);
    let idle_rss_mb = process::memory_mb(bench.subject.pid(), "VmRSS")?;
    progress(&format!("end to end at {}/s", args.rate));
    bench.warm_up()?;
    let e2e_ms = bench.end_to_end()?;
    let mut found = Found {
        bytes_of_event: bench.template.len(),
        connections: args.connections,
        rate: args.rate,
        ready_ms,
        binary_mb: binary.len() as f64 / 1e6,
        idle_rss_mb,
        e2e_ms,
        ..Found::default()
    };
    for round in 1..=args.rounds.max(1) {
        progress(&format!("round {round}: bare server, acknowledgements, W1"));
        found.bare_per_s = found.bare_per_s.max(bare(args)?);
        found.ack_per_s = found.ack_per_s.max(bench.acknowledge()?);
        let w1 = bench.w1()?;
        progress(&format!("  {:.0} runs/s, {:.2} ms of processor per run", w1.per_s, w1.cpu_ms));
        if w1.per_s > found.w1.per_s {
            found.w1 = w1;
        }
    }
    found.peak_rss_mb = process::memory_mb(bench.subject.pid(), "VmHWM")?;
    bench.check()?;
    drop(bench);
    progress(&format!("end to end at {}/s beside hostile flows", args.rate));
    found.e2e_hostile_ms = beside_hostile(args, cluster)?;
    Ok(found)
}

/// The time from end to end on a server whose other flows take what they can get.
fn beside_hostile(args: &Args, cluster: Option<&Cluster>) -> Result<Quantiles> {
    let mut bench = Bench::start(args, cluster)?;
    bench.warm_up()?;
    bench.subject.burden()?;
    // Until as many of them are at work as ever will be.
    std::thread::sleep(BURDEN);
    let times = bench.end_to_end()?;
    bench.check()?;
    Ok(times)
}

/// Keeps a server under the load of W1; on PostgreSQL if there is a cluster.
pub fn hold(args: &Args, cluster: Option<&Cluster>, seconds: u64) -> Result<()> {
    let mut bench = Bench::start(args, cluster)?;
    bench.warm_up()?;
    println!("{}", bench.subject.pid());
    let began = Instant::now();
    while began.elapsed().as_secs() < seconds {
        let w1 = bench.w1()?;
        progress(&format!("{:.0} runs/s, {:.2} ms of processor per run", w1.per_s, w1.cpu_ms));
    }
    bench.check()
}

fn progress(what: &str) {
    eprintln!("bench: {what}");
}

fn ready(args: &Args, cluster: Option<&Cluster>) -> Result<f64> {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        times.push(subject(args, cluster)?.ready.as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[STARTS / 2])
}

fn subject(args: &Args, cluster: Option<&Cluster>) -> Result<Subject> {
    let database = cluster.map(Cluster::database).transpose()?;
    Subject::start(&args.binary, args.scratch.as_deref(), database.as_deref())
}

/// Answers per second of the bare server.
fn bare(args: &Args) -> Result<f64> {
    let mut command = Command::new(std::env::current_exe()?);
    let mut process = Killed(command.arg("bare").stdout(Stdio::piped()).spawn()?);
    let mut line = String::new();
    BufReader::new(process.0.stdout.take().context("no output")?).read_line(&mut line)?;
    let requests =
        Template::new(Kind::Asked)?.requests("/hooks/hook", line.trim(), 0..ahead(args), unix_now()?);
    let time = Duration::from_secs(args.seconds);
    let sent = load::closed(line.trim(), requests, args.connections, time)?;
    Ok(sent.answered as f64 / sent.took.as_secs_f64())
}

fn ahead(args: &Args) -> u64 {
    args.seconds * REQUESTS_PER_S
}

/// Signatures name the wall clock, which only the system's `date` tells here.
fn unix_now() -> Result<u64> {
    let output = Command::new("date").arg("+%s").output()?;
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

impl Bench<'_> {
    fn start<'a>(args: &'a Args, cluster: Option<&'a Cluster>) -> Result<Bench<'a>> {
        let sink = Sink::start()?;
        let subject = subject(args, cluster)?;
        let hook = subject.set_up(&sink.address)?;
        let template = Template::new(Kind::Asked)?;
        Ok(Bench { args, cluster, subject, sink, hook, template, next: 0, runs: 0 })
    }

    /// Signed requests for events that were not there before.
    fn requests(&mut self, kind: Kind, count: u64) -> Result<Vec<Vec<u8>>> {
        let numbers = self.next..self.next + count;
        if numbers.end > EVENTS_MAX as u64 {
            bail!("more than {EVENTS_MAX} events: choose fewer rounds or seconds");
        }
        let address = self.subject.address.clone();
        Ok(match kind {
            Kind::Asked => self.template.requests(&self.hook, &address, numbers, unix_now()?),
            Kind::Unasked => Template::new(kind)?.requests(&self.hook, &address, numbers, unix_now()?),
        })
    }

    fn warm_up(&mut self) -> Result<()> {
        let requests = self.requests(Kind::Asked, WARM_UP)?;
        let time = Duration::from_secs(60);
        let sent = load::closed(&self.subject.address, requests, self.args.connections, time)?;
        self.settle(sent.answered)
    }

    /// Waits until the runs of so many more events are completed.
    fn settle(&mut self, events: u64) -> Result<()> {
        self.next += events;
        self.runs += events;
        self.subject.wait_for(self.runs)?;
        // Other flows' runs may have been counted for those of W1.
        let began = Instant::now();
        while self.sink.arrived() < self.runs {
            if began.elapsed() > ARRIVE_TIME_MAX {
                bail!("only {} of {} events arrived at the sink", self.sink.arrived(), self.runs);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn end_to_end(&mut self) -> Result<Quantiles> {
        let first = self.next;
        let requests = self.requests(Kind::Asked, self.args.rate * self.args.rate_seconds)?;
        let sent = load::open(&self.subject.address, requests, self.args.connections, self.args.rate)?;
        self.settle(sent.answered)?;
        let mut times = Vec::with_capacity(sent.at.len());
        for (event, at) in (first..).zip(&sent.at) {
            let arrived = self.sink.at(event).context("an event did not arrive at the sink")?;
            times.push(arrived.saturating_duration_since(*at).as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        let quantile = |q: f64| {
            let rank = (times.len() as f64 * q).ceil() as usize;
            times.get(rank.max(1) - 1).copied().context("no events were sent")
        };
        Ok(Quantiles { p50: quantile(0.50)?, p99: quantile(0.99)? })
    }

    /// Events per second that are durably accepted while nothing else is to be done.
    fn acknowledge(&mut self) -> Result<f64> {
        let requests = self.requests(Kind::Unasked, ahead(self.args))?;
        let time = Duration::from_secs(self.args.seconds);
        let before = self.subject.counts()?.received;
        let sent = load::closed(&self.subject.address, requests, self.args.connections, time)?;
        self.next += sent.answered;
        let received = self.subject.counts()?.received - before;
        if received != sent.answered {
            bail!("{} deliveries were answered 200, and {received} were stored", sent.answered);
        }
        Ok(sent.answered as f64 / sent.took.as_secs_f64())
    }

    /// One round of W1: from the first delivery until everything accepted is done.
    fn w1(&mut self) -> Result<W1> {
        let requests = self.requests(Kind::Asked, ahead(self.args))?;
        let pid = self.subject.pid();
        let taken =
            || anyhow::Ok((process::cpu(pid)?, process::thread_cpu(sink::THREAD)?, process::written(pid)?));
        let database = self.cluster.map(Cluster::cpu).transpose()?;
        let store = self.subject.counts()?.store;
        let (cpu, sink_cpu, written) = taken()?;
        let began = Instant::now();
        let time = Duration::from_secs(self.args.seconds);
        let ours_before = process::cpu(std::process::id())?;
        let sent = load::closed(&self.subject.address, requests, self.args.connections, time)?;
        let ours = process::cpu(std::process::id())?.saturating_sub(ours_before);
        let sink_then = process::thread_cpu(sink::THREAD)?.saturating_sub(sink_cpu);
        self.settle(sent.answered)?;
        let took = began.elapsed();
        let (cpu_after, sink_after, written_after) = taken()?;
        let store_after = self.subject.counts()?.store;
        let database_after = self.cluster.map(Cluster::cpu).transpose()?;
        let runs = sent.answered as f64;
        let per_run = |time: Duration| time.as_secs_f64() * 1e3 / runs;
        let counted = |name: &str| {
            let count = store_after[name].as_u64()?.checked_sub(store[name].as_u64()?)?;
            Some(count as f64 / runs)
        };
        Ok(W1 {
            per_s: runs / took.as_secs_f64(),
            ack_per_s: runs / sent.took.as_secs_f64(),
            cpu_ms: per_run(cpu_after - cpu),
            generator_cpu_ms: per_run(ours.saturating_sub(sink_then)),
            sink_cpu_ms: per_run(sink_after - sink_cpu),
            database_cpu_ms: database.zip(database_after).map(|(before, after)| per_run(after - before)),
            bytes: (written_after - written) as f64 / runs,
            commits: counted("commits"),
            statements: counted("statements"),
        })
    }

    /// Everything arrived, once, and said the right thing.
    fn check(&self) -> Result<()> {
        let (arrived, again, wrong) = (self.sink.arrived(), self.sink.again(), self.sink.wrong());
        if (arrived, again, wrong) != (self.runs, 0, 0) {
            bail!("of {} events {arrived} arrived, {again} again, {wrong} wrong", self.runs);
        }
        Ok(())
    }
}
