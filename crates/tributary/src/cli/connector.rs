//! `tributary connector …`

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Subcommand;
use connect::{Catalog, Manifest};
use serde_json::{Value, json};

use super::{Exit, Global, Usage, answer, open, segment};
use crate::print;

/// What `connector new` writes: a manifest that passes its own test.
const SKELETON: &str = include_str!("connector/new.yaml");

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what can be connected
    #[command(after_help = "Examples:\n  tributary connector list\n  tributary connector list --json    \
        [{\"slug\", \"title\", \"version\", \"operations\", \"triggers\"}]")]
    List,
    /// Show one connector: its credentials and operations; or one of its operations
    #[command(after_help = "Examples:\n  tributary connector show stripe\n  \
        tributary connector show stripe customers.create\n  tributary connector show stripe --all")]
    Show {
        /// The connector's slug
        slug: String,
        /// An operation, with or without the slug before it
        operation: Option<String>,
        /// The operations that come from the vendor's client library, too
        #[arg(long)]
        all: bool,
    },
    /// Check manifests and run their own tests; no server is asked, nothing is sent
    #[command(after_help = "Examples:\n  tributary connector test ./connectors/acme.yaml\n  \
        tributary connector test stripe\n  tributary connector test        all that there are")]
    Test {
        /// Manifests' files, or slugs of connectors that there are
        #[arg(value_name = "FILE|SLUG")]
        which: Vec<String>,
    },
    /// Write a manifest to begin with
    #[command(after_help = "Example:\n  tributary connector new acme --dir ./connectors\n  \
        tributary connector test ./connectors/acme.yaml\n  tributary --connectors ./connectors serve")]
    New {
        /// The new connector's slug: lower-case letters, digits and `_`
        slug: String,
        /// Where it is written
        #[arg(long, default_value = ".", value_name = "DIR")]
        dir: PathBuf,
    },
}

pub async fn run(global: &Global, command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::List => {
            let found = open(global).await?.get("/v1/connectors").await?;
            answer(global, &found["connectors"], list);
        }
        Command::Show { slug, operation, all } => {
            let found = open(global).await?.get(&format!("/v1/connectors/{}", segment(&slug))).await?;
            match operation {
                None => answer(global, &found, |found| show(found, all)),
                Some(name) => return one(global, &found, &slug, &name),
            }
        }
        Command::Test { which } => return test(global, &which),
        Command::New { slug, dir } => return new(global, &slug, &dir),
    }
    Ok(Exit::Done)
}

fn members<'a>(document: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    document[name].as_array().into_iter().flatten()
}

fn list(connectors: &Value) -> String {
    let row =
        |c: &Value| ["slug", "title", "triggers", "operations", "version"].map(|name| print::cell(&c[name]));
    let rows: Vec<Vec<String>> =
        connectors.as_array().into_iter().flatten().map(|connector| row(connector).to_vec()).collect();
    print::table(&["slug", "title", "triggers", "operations", "version"], &rows)
}

fn show(document: &Value, all: bool) -> String {
    let text = |value: &Value, name: &str| print::cell(&value[name]);
    let mut words = format!(
        "{} ({}), version {}\n",
        text(document, "title"),
        text(document, "slug"),
        text(document, "version")
    );
    let fields: Vec<Vec<String>> = members(document, "credentials")
        .map(|f| {
            let required = if f["required"] == true { "required" } else { "optional" };
            vec![text(f, "name"), required.to_owned(), text(f, "title")]
        })
        .collect();
    words += &format!("\n{}", print::table(&["credential", "", "what it is"], &fields));
    if let Some(access) = document["access"].as_str() {
        words += &format!("\n{}\n", access.trim());
    }
    let shown = members(document, "operations").filter(|o| all || o["described"] != false);
    let operations: Vec<Vec<String>> =
        shown.map(|o| vec![text(o, "name"), text(o, "effects"), text(o, "summary")]).collect();
    words += &format!("\n{}", print::table(&["operation", "effects", "what it does"], &operations));
    let further = members(document, "operations").count() - operations.len();
    if further > 0 {
        words += &format!("\nand {further} more from the vendor's own client library: `--all` lists them\n");
    }
    words
}

/// One operation with its arguments.
fn one(global: &Global, document: &Value, slug: &str, name: &str) -> anyhow::Result<Exit> {
    let full = if name.starts_with(&format!("{slug}.")) { name.to_owned() } else { format!("{slug}.{name}") };
    let names = || members(document, "operations").filter_map(|o| o["name"].as_str());
    let Some(found) = members(document, "operations").find(|o| o["name"] == full.as_str()) else {
        let near = flow::nearest::nearest(&full, names());
        let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        anyhow::bail!("{slug} has no operation `{full}`{near}");
    };
    answer(global, found, |operation| {
        let required = |name: &str| members(&operation["input"], "required").any(|one| one == name);
        let properties = operation["input"]["properties"].as_object().into_iter().flatten();
        let rows: Vec<Vec<String>> = properties
            .map(|(name, property)| {
                let must = if required(name) { "required" } else { "" };
                vec![
                    name.clone(),
                    must.to_owned(),
                    types(&property["type"]),
                    print::cell(&property["description"]),
                ]
            })
            .collect();
        let cell = |name: &str| print::cell(&operation[name]);
        let example = match &operation["example"] {
            Value::Null => String::new(),
            example => format!("\nfor example: {example}\n"),
        };
        format!(
            "{}: {} ({})\n{}\n\n{}{example}",
            cell("name"),
            cell("summary"),
            cell("effects"),
            cell("request"),
            print::table(&["argument", "", "type", "what it is"], &rows)
        )
    });
    Ok(Exit::Done)
}

/// What a connector's test found.
struct Tested {
    name: String,
    cases: usize,
    problems: Vec<String>,
}

fn test(global: &Global, which: &[String]) -> anyhow::Result<Exit> {
    let catalog = global.catalog()?;
    let mut tested = Vec::new();
    for name in which {
        tested.push(match catalog.get(name) {
            Some(manifest) => of(manifest),
            None => of_file(&catalog, name)?,
        });
    }
    if which.is_empty() {
        tested.extend(catalog.manifests().map(of));
    }
    let good = tested.iter().all(|one| one.problems.is_empty());
    let document: Vec<Value> = tested
        .iter()
        .map(|one| json!({"connector": one.name, "tests": one.cases, "problems": one.problems}))
        .collect();
    answer(global, &json!({"connectors": document}), |_| {
        let mut lines = Vec::new();
        for one in &tested {
            let end = if one.problems.is_empty() { "passed" } else { "failed" };
            lines.push(format!("{}: {} tests, {end}", one.name, one.cases));
            lines.extend(one.problems.iter().map(|problem| format!("  {problem}")));
        }
        lines.join("\n")
    });
    Ok(if good { Exit::Done } else { Exit::Failed })
}

fn of(manifest: &Manifest) -> Tested {
    let listed = manifest.listed_problems().into_iter().map(|problem| problem.to_string());
    let failures = connect::selftest(manifest).into_iter().map(|one| format!("{}: {}", one.case, one.detail));
    Tested {
        name: manifest.slug.clone(),
        cases: manifest.test_count(),
        problems: listed.chain(failures).collect(),
    }
}

fn of_file(catalog: &Catalog, name: &str) -> anyhow::Result<Tested> {
    let path = Path::new(name);
    if !path.is_file() {
        let near = flow::nearest::nearest(name, catalog.slugs());
        let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        return Err(Usage(format!("`{name}` is neither a file nor a connector{near}")).into());
    }
    let read = connect::manifest_text(path).and_then(|text| Manifest::parse(name, &text));
    Ok(match read {
        Ok(manifest) => Tested { name: name.to_owned(), ..of(&manifest) },
        Err(problems) => Tested {
            name: name.to_owned(),
            cases: 0,
            problems: problems.iter().map(|problem| format!("{problem} [{}]", problem.code)).collect(),
        },
    })
}

fn new(global: &Global, slug: &str, dir: &Path) -> anyhow::Result<Exit> {
    let catalog = global.catalog()?;
    if catalog.slugs().any(|known| known == slug) {
        return Err(Usage(format!("there is a connector `{slug}` already; choose another slug")).into());
    }
    let text = SKELETON.replace("acme", slug);
    if let Err(problems) = Manifest::parse(slug, &text) {
        let why = problems.first().map(|problem| problem.message.clone()).unwrap_or_default();
        return Err(Usage(format!("`{slug}`: {why}")).into());
    }
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let path = dir.join(format!("{slug}.yaml"));
    let written = std::fs::File::create_new(&path)
        .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()));
    written.with_context(|| format!("cannot write {}", path.display()))?;
    let (file, dir) = (path.display(), dir.display());
    answer(global, &json!({"slug": slug, "file": path}), |_| {
        format!(
            "{file} is written. Change it, then:\n  tributary connector test {file}\n  tributary --connectors {dir} connection add {slug}"
        )
    });
    Ok(Exit::Done)
}

/// `string`, or `string or object`.
fn types(of: &Value) -> String {
    match of {
        Value::Array(several) => several.iter().map(print::cell).collect::<Vec<_>>().join(" or "),
        one => print::cell(one),
    }
}
