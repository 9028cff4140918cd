//! The settings of a node: the file, then the flags.

use std::fs;
use std::path::Path;

use partisan_proto::config::Secret;
use partisan_tokio::{NodeName, Settings, StartError};

use crate::arguments::NodeArguments;
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
    if let Some(file) = &arguments.secret_file {
        let text = read(file, "secret file")?;
        settings.config.secret = Some(Secret(text.trim().to_owned()));
    }
    let checked = settings.validate();
    checked.map_err(|error| Failure::usage(format!("wrong settings: {error}")))?;
    Ok(settings)
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
