//! Ready-made flows, as they lie beside the program.

use std::sync::Arc;

use flow::{Diagnostic, Document};

/// A flow that waits to be installed.
#[derive(Clone)]
pub struct Template {
    /// The file's name without `.yaml`; also the flow's name.
    pub slug: String,
    /// What it says.
    pub document: Arc<Document>,
}

impl Template {
    /// Reads a template; everything that is wrong with it comes back at once.
    pub fn parse(slug: &str, text: &str) -> Result<Template, Vec<Diagnostic>> {
        let document = Document::parse(&format!("{slug}.yaml"), text)?;
        Ok(Template { slug: slug.to_owned(), document: Arc::new(document) })
    }
}
