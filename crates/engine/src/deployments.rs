//! Flows as they were deployed, parsed once and kept: a run works with the revision that it began with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use connect::Catalog;
use flow::hearing::{Asked, Form, names_of_type};
use flow::{Document, WorkspaceId};
use serde_json::Value;
use store::Answers;

use crate::limits::DOCUMENTS_CACHED_MAX;

/// One revision of a flow, ready to run.
#[derive(Debug)]
pub struct Deployment {
    pub document: Arc<Document>,
    pub settings: Arc<Value>,
    /// Connection name in the document → name of a connection here.
    pub connections: BTreeMap<String, String>,
    manifests: OnceLock<Arc<BTreeMap<String, String>>>,
}

impl Deployment {
    /// Parses what was deployed; what is wrong with it comes back as one text.
    pub fn read(flow: &store::Flow) -> Result<Deployment, String> {
        let document = Document::parse(&flow.name, &flow.text).map_err(|diagnostics| {
            let lines: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
            lines.join("; ")
        })?;
        Ok(Deployment {
            document: Arc::new(document),
            settings: Arc::new(flow.settings.clone()),
            connections: flow.connections.clone(),
            manifests: OnceLock::new(),
        })
    }

    /// The connection here that the document's name stands for.
    pub fn connection(&self, name: &str) -> String {
        self.connections.get(name).cloned().unwrap_or_else(|| name.to_owned())
    }

    /// The connectors that the document calls, each with the digest of its manifest in the node's catalog.
    pub fn manifests(&self, catalog: &Catalog) -> Arc<BTreeMap<String, String>> {
        let digests = || {
            let calls = self.document.calls().into_iter();
            let called = calls.filter_map(|call| catalog.get(call.operation.split('.').next()?));
            called.map(|manifest| (manifest.slug.clone(), manifest.digest().to_owned())).collect()
        };
        self.manifests.get_or_init(|| Arc::new(digests())).clone()
    }

    /// Whether a run makes a target equal to its source, so that it can begin afresh at any time: its lane keeps only
    /// the newest state.
    pub fn is_state_flow(&self) -> bool {
        self.document.concurrency().is_some_and(|concurrency| concurrency.mode == flow::Mode::Latest)
    }
}

/// A deployment, or what is wrong with it as one text.
pub type Parsed = Result<Arc<Deployment>, String>;

/// Parsed deployments by (workspace, flow, revision). A revision never changes, so nothing here grows old.
#[derive(Default)]
pub struct Deployments {
    parsed: Mutex<BTreeMap<(WorkspaceId, String, u32), Parsed>>,
}

impl Deployments {
    /// The deployment, parsed now if it is not kept yet.
    pub fn of(&self, flow: &store::Flow) -> Parsed {
        let key = (flow.workspace.clone(), flow.name.clone(), flow.revision);
        let mut parsed = self.parsed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = parsed.get(&key) {
            return found.clone();
        }
        if parsed.len() >= DOCUMENTS_CACHED_MAX {
            parsed.clear();
        }
        let deployment = Deployment::read(flow).map(Arc::new);
        parsed.insert(key, deployment.clone());
        deployment
    }

    /// The deployment, if it is kept already.
    pub fn kept(&self, workspace: &WorkspaceId, flow: &str, revision: u32) -> Option<Parsed> {
        let key = (workspace.clone(), flow.to_owned(), revision);
        self.parsed.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned()
    }
}

/// A flow as it is deployed now, parsed if it still does.
pub type Current = (store::Flow, Parsed);

/// The flows of a workspace, as they were at a generation of what is stored.
pub struct Flows {
    pub generation: u64,
    pub flows: Vec<Current>,
    /// What runs may listen for, by type or family of types.
    listened: BTreeMap<String, Vec<(Form, Asked)>>,
}

impl Flows {
    /// Whether any run can listen for an event of this type.
    pub fn is_listened(&self, r#type: &str) -> bool {
        !self.listened.is_empty() && names_of_type(r#type).iter().any(|name| self.listened.contains_key(name))
    }

    /// What an event answers to those that listen for its type.
    pub fn answers(&self, r#type: &str, event: &Value) -> Vec<Answers> {
        let mut answers = Vec::new();
        for name in names_of_type(r#type) {
            for (form, asked) in self.listened.get(&name).into_iter().flatten() {
                let key = asked.key(event);
                answers.extend(key.map(|key| Answers { r#type: name.clone(), form: form.clone(), key }));
            }
        }
        answers
    }
}

/// What was read of each workspace last. Whoever uses it makes sure that the generation still holds.
#[derive(Default)]
pub struct Deployed {
    flows: Mutex<BTreeMap<WorkspaceId, Arc<Flows>>>,
}

impl Deployed {
    /// What was read last.
    pub fn kept(&self, workspace: &WorkspaceId) -> Option<Arc<Flows>> {
        self.lock().get(workspace).cloned()
    }

    /// The flows of a workspace, read again if anything was deployed or changed since.
    pub async fn read(
        &self,
        store: &store::Store,
        parsed: &Deployments,
        workspace: &WorkspaceId,
    ) -> store::Result<Arc<Flows>> {
        // Read before the flows are: what changes in between is read again next time.
        let generation = store.generation().await?;
        if let Some(kept) = self.kept(workspace).filter(|kept| kept.generation == generation) {
            return Ok(kept);
        }
        let read = store.flows(workspace).await?;
        let flows = read.into_iter().map(|flow| {
            let deployment = parsed.of(&flow);
            (flow, deployment)
        });
        let flows: Vec<Current> = flows.collect();
        let listened = listened(store, workspace, &flows).await?;
        let flows = Arc::new(Flows { generation, flows, listened });
        let mut kept = self.lock();
        if kept.len() >= DOCUMENTS_CACHED_MAX {
            kept.clear();
        }
        kept.insert(workspace.clone(), flows.clone());
        Ok(flows)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<WorkspaceId, Arc<Flows>>> {
        self.flows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What runs of a workspace may listen for. What a new revision adds is noted before the revision's first run is made;
/// runs of old ones come to their `listen` later.
async fn listened(
    store: &store::Store,
    workspace: &WorkspaceId,
    flows: &[Current],
) -> store::Result<BTreeMap<String, Vec<(Form, Asked)>>> {
    let mut noted: BTreeSet<(String, Form)> = store.listened(workspace).await?.into_iter().collect();
    let documents = flows.iter().filter_map(|(_, deployment)| deployment.as_ref().ok());
    let new: Vec<(String, Form)> = documents
        .flat_map(|deployment| deployment.document.listens().to_vec())
        .filter(|listened| noted.insert(listened.clone()))
        .collect();
    store.note_listened(workspace, &new).await?;
    let mut by_type: BTreeMap<String, Vec<(Form, Asked)>> = BTreeMap::new();
    for (r#type, form) in noted {
        let asked = Asked::new(&form);
        by_type.entry(r#type).or_default().push((form, asked));
    }
    Ok(by_type)
}
