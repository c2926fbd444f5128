//! What was found, as one document or as a table.

use serde_json::{Value, json};

use crate::measure::Found;

/// Decimals that mean something.
fn round(value: f64, decimals: i32) -> f64 {
    let scale = 10f64.powi(decimals);
    (value * scale).round() / scale
}

/// What was found on one database after the other, by its name.
type Databases<'a> = &'a [(&'static str, Found)];

/// The document of `--json`: the first database's figures, with those of a second one under its name.
pub fn document(databases: Databases<'_>) -> Value {
    let mut documents = databases.iter().map(|(name, found)| (name.to_lowercase(), figures(found)));
    let (first, mut document) = documents.next().unwrap_or_default();
    document["database"] = first.into();
    for (name, figures) in documents {
        document[name] = figures;
    }
    document
}

fn figures(found: &Found) -> Value {
    let w1 = &found.w1;
    json!({
        "ack_per_s": found.ack_per_s.round(),
        "bare_per_s": found.bare_per_s.round(),
        "w1_per_s": w1.per_s.round(),
        "w1_cpu_ms": round(w1.cpu_ms, 3),
        "w1_e2e_ms": {"p50": round(found.e2e_ms.p50, 2), "p99": round(found.e2e_ms.p99, 2)},
        "w1_e2e_hostile_ms": {
            "p50": round(found.e2e_hostile_ms.p50, 2),
            "p99": round(found.e2e_hostile_ms.p99, 2),
        },
        "idle_rss_mb": round(found.idle_rss_mb, 1),
        "peak_rss_mb": round(found.peak_rss_mb, 1),
        "ready_ms": round(found.ready_ms, 1),
        "binary_mb": round(found.binary_mb, 1),
        "ack_to_bare": round(found.ack_per_s / found.bare_per_s, 3),
        "w1_ack_per_s": w1.ack_per_s.round(),
        "generator_cpu_ms": round(w1.generator_cpu_ms, 3),
        "sink_cpu_ms": round(w1.sink_cpu_ms, 3),
        "database_cpu_ms": w1.database_cpu_ms.map(|time| round(time, 3)),
        "bytes_per_run": w1.bytes.round(),
        "fsyncs_per_run": w1.commits.map(|count| round(count, 3)),
        "statements_per_run": w1.statements.map(|count| round(count, 1)),
    })
}

/// The rows of the table: what is told, its value, and what is aimed at.
fn rows(found: &Found) -> Vec<(&'static str, String, &'static str)> {
    let w1 = &found.w1;
    let maybe = |value: Option<f64>, decimals: usize| {
        value.map_or("-".to_owned(), |value| format!("{value:.decimals$}"))
    };
    vec![
        ("W1: completed runs per second", format!("{:.0}", w1.per_s), "2000, later 6000"),
        ("W1: processor time per run, ms", format!("{:.3}", w1.cpu_ms), "0.8, later 0.3"),
        ("    of generator, of sink", format!("{:.3}, {:.3}", w1.generator_cpu_ms, w1.sink_cpu_ms), ""),
        ("    of the database's processes", maybe(w1.database_cpu_ms, 3), ""),
        ("W1: end to end p50, ms", format!("{:.2}", found.e2e_ms.p50), ""),
        ("W1: end to end p99, ms", format!("{:.2}", found.e2e_ms.p99), "10, later 5"),
        ("    beside hostile flows, p50, ms", format!("{:.2}", found.e2e_hostile_ms.p50), ""),
        ("    beside hostile flows, p99, ms", format!("{:.2}", found.e2e_hostile_ms.p99), ""),
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
    ]
}

/// The table, with what is aimed at and what others reach.
pub fn table(databases: Databases<'_>) -> String {
    let Some((_, first)) = databases.first() else { return String::new() };
    let mut table = format!(
        "W1: a signed event of {} bytes → branch → computation → HTTP POST; {} connections; end to end at {}/s\n\n{:<34}",
        first.bytes_of_event, first.connections, first.rate, ""
    );
    for (name, _) in databases {
        table += &format!("{name:>16}");
    }
    table += "   aim\n";
    let columns: Vec<_> = databases.iter().map(|(_, found)| rows(found)).collect();
    for (index, (what, _, aim)) in rows(first).into_iter().enumerate() {
        let values: String = columns.iter().map(|rows| format!("{:>16}", rows[index].1)).collect();
        table += format!("{what:<34}{values}   {aim}").trim_end();
        table.push('\n');
    }
    table
        + "\nFor comparison, published: n8n 29 to 108 runs/s at 12 to 58 ms of processor each; Restate 1221 runs/s \
           at 1.5 ms."
}
