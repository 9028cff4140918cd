//! What a node is asked about processes and calls.

use std::time::Duration;

use partisan_tokio::{Node, NodeName, ProcessName, Reference};

use crate::requests::{CallRow, ProcessRow};

/// How long another node may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The processes of a node; one that ends meanwhile is left out.
pub(super) async fn processes(node: &Node, of: &NodeName) -> Result<Vec<ProcessRow>, String> {
    let told = |error: partisan_tokio::RequestError| error.to_string();
    let mut rows = Vec::new();
    for process in node.processes_on(of.id(), PATIENCE).await.map_err(told)? {
        let Some(info) = node.process_info(process).await.map_err(told)? else { continue };
        rows.push(ProcessRow {
            reference: Reference::from(process).to_text(of),
            names: info.names.iter().map(ToString::to_string).collect(),
            waiting: info.waiting,
            links: info.links.len(),
            monitors: info.monitors.len(),
            watched_by: info.watched_by,
            timers: info.timers,
        });
    }
    Ok(rows)
}

pub(super) async fn whereis(node: &Node, of: &NodeName, name: &str) -> Result<String, String> {
    let wanted = ProcessName::new(name).map_err(|error| format!("`{name}`: {error}"))?;
    let found = node.whereis_on(of.id(), &wanted, PATIENCE).await;
    let found = found.map_err(|error| error.to_string())?;
    let process = found.ok_or_else(|| format!("nobody is registered as `{name}` on {of}"))?;
    Ok(Reference::from(process).to_text(of))
}

pub(super) async fn calls(node: &Node) -> Result<CallRow, String> {
    let under_way = node.calls_under_way().await.map_err(|error| error.to_string())?;
    let counters = node.counters().protocol.calls;
    Ok(CallRow {
        waiting: under_way.0,
        answering: under_way.1,
        asked: counters.asked,
        served: counters.served,
        overloaded: counters.overloaded,
        timeouts: counters.timeouts,
        late: counters.late,
        unsent: counters.unsent,
    })
}
