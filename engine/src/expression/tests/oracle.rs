//! Kubernetes' own evaluator, as a program that answers questions: `tests/controlplane/celoracle`.

use std::env;
use std::io::{BufRead as _, BufReader, Write as _, stderr};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::expression::value;

/// The running program. It ends when its input closes.
pub(super) struct Oracle {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Oracle {
    /// Starts it. Nothing if it was not built, which is a failure where `CI=true`.
    pub(super) fn start() -> Option<Oracle> {
        let Some(program) = newest() else {
            let missing =
                "expressions were not compared with Kubernetes: tests/controlplane/build.sh builds what it takes";
            assert!(env::var_os("CI").is_none_or(|ci| ci != "true"), "{missing}");
            writeln!(stderr(), "{missing}").expect("stderr is open");
            return None;
        };
        let mut child =
            Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the oracle starts");
        let questions = child.stdin.take().expect("stdin is piped");
        let answers = BufReader::new(child.stdout.take().expect("stdout is piped"));
        Some(Oracle { child, questions, answers })
    }

    /// Asks all of these, and hands on each answer.
    pub(super) fn ask(self, questions: &[Value], mut hand_on: impl FnMut(usize, Value)) {
        let Oracle { mut child, questions: mut input, answers } = self;
        let mut lines = answers.lines();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for question in questions {
                    writeln!(input, "{question}").expect("the oracle reads");
                }
            });
            for at in 0..questions.len() {
                let line = lines.next().expect("the oracle answers").expect("its answers are text");
                hand_on(at, serde_json::from_str(&line).expect("its answers are JSON"));
            }
        });
        assert!(child.wait().expect("the oracle ends").success());
    }
}

/// That of the newest Kubernetes that was built.
fn newest() -> Option<PathBuf> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/controlplane");
    let versions = built.read_dir().ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let number = |folder: &PathBuf| -> Option<Vec<u32>> {
        folder.file_name()?.to_str()?.split('.').map(|part| part.parse().ok()).collect()
    };
    let newest = versions.filter(|folder| folder.join("celoracle").is_file()).max_by_key(number)?;
    Some(newest.join("celoracle"))
}

/// A value as the oracle writes it, which keeps the types that JSON does not have.
pub(super) fn encode(value: &value::Value<'_>) -> Value {
    use value::Value as Cel;
    match value {
        Cel::Null => Value::Null,
        Cel::Bool(value) => json!(value),
        Cel::Int(number) => json!(number),
        Cel::Double(number) if number.is_nan() => json!({"double": "NaN"}),
        Cel::Double(number) => {
            let text = crate::expression::numbers::format_double(*number);
            json!({"double": text})
        }
        Cel::String(text) => json!(&**text),
        Cel::List(items) => items.iter().map(encode).collect(),
        Cel::Map(map) => {
            let are_texts = map.entries().iter().all(|(key, _)| matches!(key, Cel::String(_)));
            if !are_texts {
                return json!({"type": "map"});
            }
            json!({"map": map.entries().iter().map(|(key, value)| json!([encode(key), encode(value)])).collect::<Vec<_>>()})
        }
        Cel::Optional(held) => json!({"optional": held.iter().map(|held| encode(held)).collect::<Vec<_>>()}),
        Cel::Duration(nanoseconds) => json!({"duration": nanoseconds.to_string()}),
        Cel::Quantity(_) => json!({"type": "kubernetes.Quantity"}),
    }
}

/// Whether two encoded values are the same. Of values that JSON cannot tell, only the type counts.
pub(super) fn same(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Object(one), Value::Object(other)) if one.contains_key("type") || other.contains_key("type") => {
            one.get("type") == other.get("type")
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, value)| other.get(key).is_some_and(|other| same(value, other)))
        }
        (one, other) => one == other,
    }
}
