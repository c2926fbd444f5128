//! `tributary verify`: seeds are lived by the simulation, on as many threads as are wanted; here is only how they are
//! shared out, and how the outcome is told.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use flow::Document;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use sim::fault::Kind;
use sim::target::Target;
use sim::{Broken, Failure, Setting, Verdict};

use super::{Exit, Global, Usage, answer};
use crate::{ambient, templates};

/// Customers of a life, and its days: 235 to 265 events.
const CUSTOMERS: u32 = 14;
const DAYS: u32 = 30;
/// Seeds without `--seeds`.
const SEEDS: u64 = 100;
/// Without a terminal, progress is told in so many lines.
const LINES: u64 = 10;
/// Memory that a life may take besides what the process had before: its nodes, their disks and the vendors.
const LIFE_BYTES_MAX: u64 = 256 << 20;
/// Failures told; more are counted.
const FAILURES_MAX: usize = 20;

/// Lives through simulated months under crashes, lost and repeated events, failing vendors and disks: it must converge
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  tributary verify stripe-to-chartmogul
  tributary verify stripe-to-chartmogul --seeds 1000 --json
  tributary verify my-flow.yaml --faults crash,power,duplicate
  tributary verify parent.yaml --with child.yaml
  tributary verify failed-payment-alert --seed 42 --trace

A seed is a month of billing with one or two whole nodes against simulated vendors, on one thread, in
simulated time. The same seed is the same month, whatever the machine. A seed that fails is shown with
the fewest faults that make it fail. Templates are compared with what is true in the simulated Stripe;
a flow of your own with what it promises (`document.metadata.verify`), else, if it is a state flow, with a
month in which nothing goes wrong.

Faults: crash, node, power, fsync, full-disk, duplicate, reorder, late, lost, rate-limit, server-error,
timeout, slow, clock; none for a month without any.")]
pub struct Verify {
    /// A template's slug, or the file of a flow
    #[arg(value_name = "FLOW|TEMPLATE")]
    target: String,
    /// Another flow that is deployed beside it: one that it starts, or that tells it events
    #[arg(long, value_name = "FILE")]
    with: Vec<PathBuf>,
    /// How many seeds, from 1 on
    #[arg(long, value_name = "N", default_value_t = SEEDS, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Only this seed
    #[arg(long, value_name = "N", conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Tell everything that happens in the seed
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Only these kinds of faults, with commas between
    #[arg(long, value_name = "LIST")]
    faults: Option<String>,
    /// Seeds lived at once [default: one per processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    jobs: Option<u32>,
}

/// What came of all seeds.
struct Outcome {
    target: String,
    seeds: u64,
    failed: Vec<Failure>,
    injected: BTreeMap<Kind, u64>,
    events: usize,
    memory: Memory,
    took: Duration,
    trace: Vec<String>,
}

/// What lives take of the machine's memory, all that go on at a time together.
#[derive(Clone, Copy, Debug, Default)]
struct Memory {
    before: u64,
    most: u64,
    bound: u64,
}

/// Verifies.
pub async fn run(global: &Global, args: Verify) -> anyhow::Result<Exit> {
    let kinds = kinds(args.faults.as_deref())?;
    let catalog = global.catalog()?;
    let target = target(global, &catalog, &args.target, &args.with)?;
    let setting = Setting { catalog: Arc::new(catalog), customers: CUSTOMERS, days: DAYS };
    let json = global.json;
    let outcome = tokio::task::spawn_blocking(move || live_all(&setting, &target, &kinds, &args, json));
    let outcome = outcome.await.context("the simulation broke off")??;
    answer(global, &outcome.document(), |_| outcome.words());
    Ok(if outcome.failed.is_empty() { Exit::Done } else { Exit::Failed })
}

fn kinds(list: Option<&str>) -> Result<BTreeSet<Kind>, Usage> {
    let Some(list) = list else { return Ok(Kind::ALL.into_iter().collect()) };
    if list == "none" {
        return Ok(BTreeSet::new());
    }
    list.split(',')
        .map(str::trim)
        .map(|name| {
            Kind::parse(name).ok_or_else(|| {
                let all = Kind::ALL.map(Kind::name).join(", ");
                Usage(format!(
                    "--faults: `{name}` is no kind of fault. There are: {all}; none for no fault at all"
                ))
            })
        })
        .collect()
}

/// The template of that slug, or the flow of that file.
fn target(
    global: &Global,
    catalog: &connect::Catalog,
    given: &str,
    beside: &[PathBuf],
) -> anyhow::Result<Target> {
    let path = Path::new(given);
    let is_file = path.is_file() || given.contains('/') || path.extension().is_some();
    let document = if is_file { of_file(path)? } else { of_template(global, given)? };
    let unfit = |error| Usage(format!("{given} cannot be verified: {error}"));
    let mut target = Target::of(document, catalog).map_err(unfit)?;
    for path in beside {
        let unfit = |error| Usage(format!("{} cannot stand beside it: {error}", path.display()));
        target = target.beside(of_file(path)?, catalog).map_err(unfit)?;
    }
    Ok(if is_file { target.own() } else { target })
}

fn of_file(path: &Path) -> anyhow::Result<Arc<Document>> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Usage(format!("cannot read {}: {error}", path.display())))?;
    let document = Document::parse(&path.display().to_string(), &text).map_err(|found| {
        let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
        Usage(format!("{} has mistakes:\n  {}", path.display(), lines.join("\n  ")))
    })?;
    Ok(Arc::new(document))
}

fn of_template(global: &Global, slug: &str) -> anyhow::Result<Arc<Document>> {
    let all = templates::load(global.templates.as_deref())?;
    match all.iter().find(|template| template.slug == slug) {
        Some(found) => Ok(found.document.clone()),
        None => {
            let slugs: Vec<&str> = all.iter().map(|template| template.slug.as_str()).collect();
            let guess = flow::nearest::nearest(slug, slugs.iter().copied());
            let guess = guess.map(|near| format!(" Did you mean `{near}`?")).unwrap_or_default();
            let there = slugs.join(", ");
            Err(Usage(format!("there is no template or file `{slug}`.{guess} Templates: {there}")).into())
        }
    }
}

/// Lives every seed, several at once.
fn live_all(
    setting: &Setting,
    target: &Target,
    kinds: &BTreeSet<Kind>,
    args: &Verify,
    quiet: bool,
) -> anyhow::Result<Outcome> {
    let seeds = args.seed.map_or(1..=args.seeds, |seed| seed..=seed);
    let count = seeds.end() - seeds.start() + 1;
    let processors = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let jobs = args.jobs.map_or(processors, u64::from).min(count);
    let (next, stop) = (AtomicU64::new(*seeds.start()), AtomicBool::new(false));
    let (sender, verdicts) = mpsc::channel::<Result<Verdict, Broken>>();
    let began = Instant::now();
    let memory = Memory::before(jobs);
    std::thread::scope(|scope| {
        for job in 0..jobs {
            let (sender, next, stop, seeds) = (sender.clone(), &next, &stop, seeds.clone());
            let work = move || {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if !seeds.contains(&seed) {
                        return;
                    }
                    let verdict = sim::verify(setting, target, seed, kinds, args.trace);
                    // Nobody listens any more once one of them could not go on.
                    sender.send(verdict).ok();
                }
            };
            let thread = std::thread::Builder::new().name(format!("verify-{job}"));
            thread.spawn_scoped(scope, work).context("cannot start a thread")?;
        }
        drop(sender);
        let outcome = gather(&target.name, count, verdicts, memory, quiet || args.trace, began);
        stop.store(true, Ordering::Relaxed);
        outcome
    })
}

fn gather(
    target: &str,
    seeds: u64,
    verdicts: mpsc::Receiver<Result<Verdict, Broken>>,
    memory: Memory,
    quiet: bool,
    began: Instant,
) -> anyhow::Result<Outcome> {
    let progress = Progress::new(seeds, quiet);
    let mut outcome = Outcome {
        target: target.to_owned(),
        seeds,
        failed: Vec::new(),
        injected: Kind::ALL.into_iter().map(|kind| (kind, 0)).collect(),
        events: 0,
        memory,
        took: Duration::ZERO,
        trace: Vec::new(),
    };
    for (done, verdict) in (1..).zip(verdicts) {
        let verdict = verdict?;
        for (kind, count) in verdict.injected {
            *outcome.injected.entry(kind).or_default() += count;
        }
        outcome.events += verdict.numbers.events;
        outcome.failed.extend(verdict.failure.or_else(|| outcome.memory.exceeded(verdict.seed)));
        outcome.trace = verdict.trace;
        progress.done(done, outcome.failed.len());
    }
    outcome.failed.sort_by_key(|failure| failure.seed);
    outcome.took = began.elapsed();
    progress.bar.finish_and_clear();
    Ok(outcome)
}

impl Memory {
    fn before(jobs: u64) -> Memory {
        let before = ambient::resident_bytes().unwrap_or_default();
        Memory { before, most: before, bound: before + jobs * LIFE_BYTES_MAX }
    }

    /// After a life: whether there is more now than there may be. What is never given back ends here, too.
    fn exceeded(&mut self, seed: u64) -> Option<Failure> {
        let now = ambient::resident_bytes()?;
        self.most = self.most.max(now);
        (now > self.bound).then(|| Failure {
            seed,
            faults: Vec::new(),
            invariant: "memory".to_owned(),
            timeline: vec![format!(
                "{} MiB when this life was over, {} MiB before the first; at most {} MiB are expected",
                now >> 20,
                self.before >> 20,
                self.bound >> 20
            )],
        })
    }
}

impl Outcome {
    fn seeds_per_s(&self) -> f64 {
        (self.seeds as f64 / self.took.as_secs_f64().max(f64::EPSILON) * 100.0).round() / 100.0
    }

    fn document(&self) -> Value {
        let injected: BTreeMap<&str, u64> =
            self.injected.iter().map(|(kind, count)| (kind.counted(), *count)).collect();
        json!({
            "target": self.target,
            "seeds": self.seeds,
            "passed": self.seeds - self.failed.len() as u64,
            "failed": self.failed,
            "seeds_per_s": self.seeds_per_s(),
            "injected": injected,
        })
    }

    fn words(&self) -> String {
        let mut words = String::new();
        for line in &self.trace {
            words += &format!("{line}\n");
        }
        for failure in self.failed.iter().take(FAILURES_MAX) {
            words += &format!("seed {} fails: {}, with\n", failure.seed, failure.invariant);
            if failure.faults.is_empty() {
                words += "  no fault at all\n";
            }
            for fault in &failure.faults {
                words += &format!("  {fault}\n");
            }
            words += "and this is how it goes (simulated time):\n";
            for line in &failure.timeline {
                words += &format!("  {line}\n");
            }
            words += "\n";
        }
        let injected: Vec<String> = self
            .injected
            .iter()
            .filter(|(_, count)| **count > 0)
            .map(|(kind, count)| format!("{} {count}", kind.counted().replace('_', " ")))
            .collect();
        words += &format!(
            "{}: {} of {} seeds converged, {} events, {} seeds/s, at most {} MB of memory\ninjected: {}\n",
            self.target,
            self.seeds - self.failed.len() as u64,
            self.seeds,
            self.events,
            self.seeds_per_s(),
            self.memory.most.div_ceil(1 << 20),
            if injected.is_empty() { "nothing".to_owned() } else { injected.join(", ") },
        );
        words
    }
}

/// A bar on a terminal, a few lines elsewhere.
struct Progress {
    bar: ProgressBar,
    lines: bool,
    seeds: u64,
}

impl Progress {
    fn new(seeds: u64, quiet: bool) -> Progress {
        let terminal = std::io::stderr().is_terminal();
        let bar = if terminal && !quiet { ProgressBar::new(seeds) } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("{spinner} seed {pos}/{len} [{bar:24}] {per_sec} {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
        Progress { bar, lines: !terminal && !quiet && seeds > 1, seeds }
    }

    fn done(&self, done: u64, failed: usize) {
        self.bar.set_position(done);
        let failed = if failed > 0 { format!("{failed} failed") } else { String::new() };
        if self.lines && (done.is_multiple_of(self.seeds.div_ceil(LINES)) || done == self.seeds) {
            eprintln!("{done}/{} seeds {failed}", self.seeds);
        }
        self.bar.set_message(failed);
    }
}
