//! As much of Gherkin as the kits use: features, scenarios, steps, texts between `"""`.

use anyhow::{Result, bail};

pub struct Scenario {
    pub file: String,
    pub line: usize,
    pub feature: String,
    pub name: String,
    pub steps: Vec<Step>,
}

pub struct Step {
    /// Without its keyword.
    pub text: String,
    /// The text that follows it.
    pub document: Option<String>,
}

const KEYWORDS: [&str; 5] = ["given ", "when ", "then ", "and ", "but "];

pub fn parse(file: &str, text: &str) -> Result<Vec<Scenario>> {
    let mut scenarios: Vec<Scenario> = Vec::new();
    let mut feature = String::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let trimmed = line.trim();
        if let Some(name) = trimmed.strip_prefix("Feature:") {
            feature = name.trim().to_owned();
        } else if let Some(name) = trimmed.strip_prefix("Scenario:") {
            let (file, feature) = (file.to_owned(), feature.clone());
            scenarios.push(Scenario {
                file,
                line: number + 1,
                feature,
                name: name.trim().to_owned(),
                steps: Vec::new(),
            });
        } else if trimmed.starts_with("\"\"\"") {
            let indent = line.len() - line.trim_start().len();
            let mut document = String::new();
            loop {
                let Some((_, line)) = lines.next() else {
                    bail!("{file}:{}: a text is not closed", number + 1)
                };
                if line.trim() == "\"\"\"" {
                    break;
                }
                // YAML cares for the indent below its own beginning only.
                document.push_str(line.get(indent..).unwrap_or_else(|| line.trim_start()));
                document.push('\n');
            }
            if let Some(step) = scenarios.last_mut().and_then(|scenario| scenario.steps.last_mut()) {
                step.document = Some(document);
            }
        } else if let Some(scenario) = scenarios.last_mut() {
            let mut rest = trimmed;
            let mut is_step = false;
            // `And given …` is two keywords.
            while let Some(keyword) = KEYWORDS.iter().find(|keyword| {
                rest.get(..keyword.len()).is_some_and(|start| start.eq_ignore_ascii_case(keyword))
            }) {
                rest = rest[keyword.len()..].trim_start();
                is_step = true;
            }
            if is_step {
                scenario.steps.push(Step { text: rest.to_owned(), document: None });
            } else if !trimmed.is_empty() && !trimmed.starts_with('#') {
                bail!("{file}:{}: `{trimmed}` is no step", number + 1);
            }
        }
    }
    Ok(scenarios)
}
