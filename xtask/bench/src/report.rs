//! What was found, as one document or as a table.

use serde_json::{Value, json};

use crate::measure::Found;

/// Decimals that mean something.
fn round(value: f64, decimals: i32) -> f64 {
    let scale = 10f64.powi(decimals);
    (value * scale).round() / scale
}

/// The document of `--json`.
pub fn document(found: &Found) -> Value {
    let w1 = &found.w1;
    json!({
        "ack_per_s": found.ack_per_s.round(),
        "bare_per_s": found.bare_per_s.round(),
        "w1_per_s": w1.per_s.round(),
        "w1_cpu_ms": round(w1.cpu_ms, 3),
        "w1_e2e_ms": {"p50": round(found.e2e_ms.p50, 2), "p99": round(found.e2e_ms.p99, 2)},
        "idle_rss_mb": round(found.idle_rss_mb, 1),
        "peak_rss_mb": round(found.peak_rss_mb, 1),
        "ready_ms": round(found.ready_ms, 1),
        "binary_mb": round(found.binary_mb, 1),
        "ack_to_bare": round(found.ack_per_s / found.bare_per_s, 3),
        "w1_ack_per_s": w1.ack_per_s.round(),
        "generator_cpu_ms": round(w1.generator_cpu_ms, 3),
        "sink_cpu_ms": round(w1.sink_cpu_ms, 3),
        "bytes_per_run": w1.bytes.round(),
        "fsyncs_per_run": w1.commits.map(|count| round(count, 3)),
        "statements_per_run": w1.statements.map(|count| round(count, 1)),
    })
}

/// The table, with what is aimed at and what others reach.
pub fn table(found: &Found) -> String {
    let w1 = &found.w1;
    let maybe = |value: Option<f64>, decimals: usize| {
        value.map_or("not counted".to_owned(), |value| format!("{value:.decimals$}"))
    };
    let rows = [
        ("W1: completed runs per second", format!("{:.0}", w1.per_s), "2000, later 6000"),
        ("W1: processor time per run, ms", format!("{:.3}", w1.cpu_ms), "0.8, later 0.3"),
        ("    and of generator, of sink", format!("{:.3}, {:.3}", w1.generator_cpu_ms, w1.sink_cpu_ms), ""),
        ("W1: end to end p50, ms", format!("{:.2}", found.e2e_ms.p50), ""),
        ("W1: end to end p99, ms", format!("{:.2}", found.e2e_ms.p99), "10, later 5"),
        ("W1: bytes written per run", format!("{:.0}", w1.bytes), ""),
        ("W1: synced commits per run", maybe(w1.commits, 3), ""),
        ("W1: statements per run", maybe(w1.statements, 1), ""),
        ("acknowledged per second", format!("{:.0}", found.ack_per_s), ""),
        ("    while W1 runs", format!("{:.0}", w1.ack_per_s), ""),
        ("bare echo per second", format!("{:.0}", found.bare_per_s), ""),
        ("    acknowledged to bare", format!("{:.2}", found.ack_per_s / found.bare_per_s), ""),
        ("memory idle, MB", format!("{:.1}", found.idle_rss_mb), "60, later 40"),
        ("memory at most, MB", format!("{:.1}", found.peak_rss_mb), ""),
        ("time to ready, ms", format!("{:.0}", found.ready_ms), ""),
        ("binary, MB", format!("{:.1}", found.binary_mb), ""),
    ];
    let mut table = format!(
        "W1: a signed event of {} bytes → branch → computation → HTTP POST; {} connections; end to end at {}/s\n\n\
         {:<34}{:>16}   aim\n",
        found.bytes_of_event, found.connections, found.rate, "", "SQLite"
    );
    for (what, value, aim) in rows {
        table += format!("{what:<34}{value:>16}   {aim}\n").trim_end();
        table.push('\n');
    }
    table
        + "\nFor comparison, published: n8n 29 to 108 runs/s at 12 to 58 ms of processor each; Restate 1221 runs/s \
           at 1.5 ms."
}
