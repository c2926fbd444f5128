//! Every bound of this room, by name. The ones an operator may want to move are fields of [`Config`].

use std::time::Duration;

use jiff::SignedDuration;

/// Runs worked on at once by one node. Most of them wait, for the disk or for a vendor; one takes some 50 KiB.
pub const WORKERS: usize = 256;
/// Runs claimed in one go; more are claimed in the next.
pub const CLAIMS_AT_ONCE: usize = 64;
/// Undispatched events read in one go; more wait in the store.
pub const DISPATCH_BATCH: usize = 256;
/// Starts by the clock that are made durable together.
pub const STARTS_AT_ONCE: usize = 64;
/// How often it is asked whether the run of a flow that starts again after it is over.
pub const RUN_OVER_INTERVAL: SignedDuration = SignedDuration::from_secs(1);
/// How long a claim holds without renewal. A node that dies gives its runs back after this.
pub const LEASE: SignedDuration = SignedDuration::from_secs(30);
/// A lease is renewed this many times within its life, so that two lost renewals do not lose the run.
pub const LEASE_RENEWALS: u32 = 3;
/// How often the store is asked for work when nobody pokes the wake handle.
pub const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// A wait up to this long happens in place, keeping the lane and a worker; a longer one parks the run.
pub const WAIT_IN_PLACE_MAX: SignedDuration = SignedDuration::from_secs(4);
/// Time given to runs in progress when the node stops; what is left is released to the queue.
pub const STOP_GRACE: Duration = Duration::from_secs(10);
/// How often a run may be claimed without coming one step further before it is failed: a run that kills its node must
/// not do so for ever.
pub const CLAIMS_MAX: u64 = 100;
/// Effects one run may perform, over all its claims.
pub const EFFECTS_MAX: u64 = 20_000;
/// Longest id, source, type or subject of an event that a flow emits, in bytes: together they fit an index.
pub const EMITTED_TEXT_MAX: usize = 512;
/// Signals that a run keeps in mind before somebody takes them; more wait in the store.
pub const SIGNALS_READ_MAX: usize = 256;
/// Runs and emitted events in a row, each started by the one before.
pub const HOPS_MAX: u32 = 64;
/// Revisions of a flow among which a version is looked for.
pub const REVISIONS_MAX: usize = 100;
/// Documents kept parsed, by (workspace, flow, version).
pub const DOCUMENTS_CACHED_MAX: usize = 512;
/// Connections kept open (credentials unsealed), by (workspace, name).
pub const CONNECTIONS_CACHED_MAX: usize = 512;
/// Requests in flight on one connection where the manifest states no limit of its own.
pub const IN_FLIGHT_DEFAULT: usize = 8;
/// A pause that the vendor wants is waited for in place up to this long; a longer one ends the attempt.
pub const CLOSED_IN_PLACE_MAX: SignedDuration = SignedDuration::from_secs(4);
/// So much of a budget that nodes share is taken at once, as a time…
pub const PLACES_AHEAD: SignedDuration = SignedDuration::from_millis(250);
/// … and as requests.
pub const PLACES_AT_ONCE_MAX: u32 = 16;
/// One alert per flow in this time; further failures are counted and told with the next.
pub const ALERT_INTERVAL: SignedDuration = SignedDuration::from_secs(60);
/// Alerts waiting to be delivered; more are only logged.
pub const ALERTS_WAITING_MAX: usize = 256;
/// Time for the delivery of one alert.
pub const ALERT_TIME_MAX: Duration = Duration::from_secs(20);
/// Longest answer read from the web address that alerts are posted to, in bytes.
pub const ALERT_ANSWER_BYTES_MAX: usize = 64 << 10;
/// Longest detail carried into an alert, in characters.
pub const ALERT_DETAIL_MAX: usize = 600;
/// Journal entries that wait for the next commit that is needed anyway; more get a commit of their own.
pub const ENTRIES_WAITING_MAX: usize = 128;
/// Events of tasks' lives that one pass of a run tells, where the flow asks for them; the next ones are not told.
pub const TASK_EVENTS_MAX: usize = 10_000;
/// The largest output that such an event carries, in bytes of JSON.
pub const TASK_OUTPUT_MAX: usize = 64 << 10;
/// The same for the arguments and answers in them, in bytes of JSON.
pub const BYTES_WAITING_MAX: usize = 4 << 20;
/// Entries of a journal that are kept in memory while a run is taken up again, in bytes each; longer ones are read when
/// it is their turn.
pub const ENTRY_KEPT_MAX: usize = 16 << 10;
/// The arguments of a call and its answer together, in bytes of JSON: what one journal entry can hold, with room for
/// what else is in it.
pub const RESULT_BYTES_MAX: usize = 15 << 20;
/// How often a store that takes no writes is asked whether it does again.
pub const HEALTH_PROBE: Duration = Duration::from_secs(2);
/// So long writes must go through before it is told that the trouble is over.
pub const HEALTH_STEADY: SignedDuration = SignedDuration::from_secs(10);
/// Runs, and events, that housekeeping moves in one step.
pub const HOUSEKEEPING_BATCH: usize = 64;
/// Shortest rest after a step of housekeeping.
pub const HOUSEKEEPING_PAUSE: Duration = Duration::from_millis(50);
/// Between two looks of housekeeping when there was nothing to do.
pub const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(60);
/// The same where what is over may stay for a shorter time.
pub const HOUSEKEEPING_INTERVAL_MIN: Duration = Duration::from_secs(1);
/// Pause before a failed commit or claim is tried again.
pub const STORE_PAUSE: Duration = Duration::from_millis(200);

/// Between two looks at which vendors are to be asked for events.
pub const POLL_LOOK: Duration = Duration::from_secs(5);

/// Before each attempt to tell somebody of a question, while the run is in a worker.
pub const TELL_AFTER: [Duration; 3] = [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(5)];
/// Between two goes at it, where the vendor names no time or a shorter one; and the longest, whatever it names.
pub const TELL_AGAIN: SignedDuration = SignedDuration::from_secs(30);
pub const TELL_AGAIN_MAX: SignedDuration = SignedDuration::from_mins(15);
/// After this it is told on the question that people were not told.
pub const TELL_MAX: SignedDuration = SignedDuration::from_hours(24);
/// Clicks, and messages to be changed, that are read at once.
pub const ASKED_BATCH: u32 = 64;
/// Of these, as many are worked on at once: each waits for a vendor.
pub const ASKED_AT_ONCE: usize = 8;
/// Polling intervals between two looks for them, when nobody says that there are any.
pub const ASKED_LOOKS: u32 = 4;
/// How often questions are looked for that nobody waits for any longer.
pub const DROPPED_INTERVAL: SignedDuration = SignedDuration::from_secs(30);
/// How often a message is looked for that was about to be sent when its question was decided.
pub const NOTICE_FINDS_MAX: u32 = 4;

/// What an operator may set. `Default` is what the constants of this module say.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of this node, told to the store with every claim.
    pub node: String,
    /// Runs worked on at once.
    pub workers: usize,
    /// How long a claim holds without renewal.
    pub lease: SignedDuration,
    /// How often the store is asked for work unasked.
    pub poll_interval: Duration,
    /// Longest wait that keeps the run in a worker.
    pub wait_in_place_max: SignedDuration,
    /// Time for runs in progress when the node stops.
    pub stop_grace: Duration,
    /// Where calls without a connector may go; nowhere unless the operator says so.
    pub egress: connect::plain::Egress,
    /// Where people reach this server, for the links by which they decide; none: they are told a command instead.
    pub public_url: Option<String>,
    /// When and how often failed attempts are repeated.
    pub retry: crate::retry::Policy,
    /// Events of vendors are asked for, where their manifests say how.
    pub polls: bool,
    /// Those of sandbox twins as well, whose time may be another one.
    pub poll_sandboxes: bool,
    /// How long is kept what is over.
    pub retention: crate::housekeeping::Retention,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            node: "node".to_owned(),
            workers: WORKERS,
            lease: LEASE,
            poll_interval: POLL_INTERVAL,
            wait_in_place_max: WAIT_IN_PLACE_MAX,
            stop_grace: STOP_GRACE,
            egress: connect::plain::Egress::default(),
            public_url: None,
            retry: crate::retry::Policy::default(),
            polls: false,
            poll_sandboxes: false,
            retention: crate::housekeeping::Retention::default(),
        }
    }
}
