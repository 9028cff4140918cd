//! The settings of a node: the file, then the flags.

use std::fs;
use std::path::Path;

use partisan_proto::config::{
    ClientServerConfig, HyParViewConfig, ManagerConfig, PluggableConfig, ScampConfig, Secret,
    StaticConfig, StrategyConfig,
};
use partisan_tokio::{NodeName, Settings, StartError};

use crate::arguments::{ManagerName, NodeArguments};
use crate::failure::Failure;

/// Reads the file, if there is one, and applies the flags.
pub(crate) fn load(arguments: &NodeArguments) -> Result<Settings, Failure> {
    let mut settings = match &arguments.config {
        Some(file) => from_file(file, arguments.name.as_ref())?,
        None => Settings::new(arguments.name.clone().ok_or_else(|| nameless(None))?),
    };
    if let Some(name) = &arguments.name {
        settings.name = name.clone();
    }
    if !arguments.listen.is_empty() {
        settings.listen.clone_from(&arguments.listen);
    }
    if !arguments.advertise.is_empty() {
        settings.advertise.clone_from(&arguments.advertise);
    }
    if arguments.state_dir.is_some() {
        settings.state_dir.clone_from(&arguments.state_dir);
    }
    if let Some(cluster) = &arguments.cluster {
        settings.config.cluster = cluster.clone();
    }
    if let Some(name) = arguments.manager
        && !is_configured(&settings.config.manager, name)
    {
        settings.config.manager = manager(name);
    }
    if !arguments.tags.is_empty() {
        settings.tags.clone_from(&arguments.tags);
    }
    if let Some(file) = &arguments.secret_file {
        let text = read(file, "secret file")?;
        settings.config.secret = Some(Secret(text.trim().to_owned()));
    }
    let checked = settings.validate();
    checked.map_err(|error| Failure::usage(format!("wrong settings: {error}")))?;
    has_role(&settings)?;
    Ok(settings)
}

/// Without a role a node has no place among servers and clients, and would only be refused.
fn has_role(settings: &Settings) -> Result<(), Failure> {
    let ManagerConfig::ClientServer(star) = &settings.config.manager else {
        return Ok(());
    };
    let has = |tag| settings.tags.contains(tag);
    let (server, client) = (&star.server_tag, &star.client_tag);
    if has(server) == has(client) {
        let text = format!("a node is a server or a client: give --tag {server} or --tag {client}");
        return Err(Failure::usage(text));
    }
    Ok(())
}

/// Whether the file configures this very manager.
fn is_configured(config: &ManagerConfig, name: ManagerName) -> bool {
    match (config, name) {
        (ManagerConfig::Pluggable(pluggable), name) => matches!(
            (&pluggable.strategy, name),
            (StrategyConfig::Full, ManagerName::Pluggable)
                | (StrategyConfig::ScampV1(_), ManagerName::ScampV1)
                | (StrategyConfig::ScampV2(_), ManagerName::ScampV2)
        ),
        (ManagerConfig::HyParView(_), ManagerName::HyParView)
        | (ManagerConfig::ClientServer(_), ManagerName::ClientServer)
        | (ManagerConfig::Static(_), ManagerName::Static) => true,
        _ => false,
    }
}

/// A manager with its defaults.
fn manager(name: ManagerName) -> ManagerConfig {
    let pluggable = |strategy| {
        ManagerConfig::Pluggable(PluggableConfig { strategy, ..PluggableConfig::default() })
    };
    match name {
        ManagerName::Pluggable => pluggable(StrategyConfig::Full),
        ManagerName::HyParView => ManagerConfig::from(HyParViewConfig::default()),
        ManagerName::ClientServer => ManagerConfig::ClientServer(ClientServerConfig::default()),
        ManagerName::Static => ManagerConfig::Static(StaticConfig::default()),
        ManagerName::ScampV1 => pluggable(StrategyConfig::ScampV1(ScampConfig::default())),
        ManagerName::ScampV2 => pluggable(StrategyConfig::ScampV2(ScampConfig::default())),
    }
}

fn nameless(file: Option<&Path>) -> Failure {
    let place = file.map_or_else(
        || "use a settings file that has one".into(),
        |file| format!("write `name = \"...\"` at the top of {}", file.display()),
    );
    Failure::usage(format!("the node has no name; give --name NAME, or {place}"))
}

fn read(file: &Path, what: &str) -> Result<String, Failure> {
    fs::read_to_string(file).map_err(|error| {
        Failure::usage(format!("the {what} {} cannot be read: {error}", file.display()))
    })
}

fn from_file(file: &Path, name: Option<&NodeName>) -> Result<Settings, Failure> {
    let text = read(file, "settings file")?;
    let named = toml::from_str::<toml::Table>(&text).is_ok_and(|table| table.contains_key("name"));
    // The flag stands in for the missing key; lines are counted without it.
    let before = match name {
        Some(name) if !named => format!("name = {}\n", toml::Value::from(name.as_str())),
        _ => String::new(),
    };
    match Settings::from_toml(&format!("{before}{text}")) {
        Ok(settings) => Ok(settings),
        Err(StartError::Settings(error)) => {
            if error.message().contains("missing field `name`") {
                return Err(nameless(Some(file)));
            }
            let at = error.span().map(|span| span.start.saturating_sub(before.len()));
            Err(Failure::usage(complaint(file, &text, at, error.message())))
        }
        Err(error) => Err(Failure::usage(error.to_string())),
    }
}

/// Where in the file what is wrong, with the line itself.
fn complaint(file: &Path, text: &str, at: Option<usize>, message: &str) -> String {
    let file = file.display();
    let message = message.trim();
    let Some(before) = at.and_then(|at| text.get(..at)) else {
        return format!("{file}: {message}");
    };
    let number = before.matches('\n').count() + 1;
    let line = text.lines().nth(number - 1).unwrap_or("");
    format!("{file}, line {number}: {message}\n  {number} | {line}")
}
