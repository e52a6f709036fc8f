//! A new template as it is written, with comments that say what to look at.

use pillion_engine::template::TemplateName;
use serde_json::{Value, json};

use super::Found;
use super::scaffold::Scaffold;
use crate::manifest;

/// A template that was made of a container.
pub(super) fn template(scaffold: &Scaffold, found: &Found) -> anyhow::Result<String> {
    let Scaffold { template, .. } = scaffold;
    let name = &template["metadata"]["name"].as_str().unwrap_or_default();
    let head = [
        format!("Made of the container {} of {}.", found.name(), found.subject),
        "Take it out there, with the volumes that no other container mounts. Look at each comment, and then:"
            .to_owned(),
        "  pillion lint -f THIS_FILE".to_owned(),
        format!("  pillion inject -f WORKLOAD --templates THIS_FILE --template {name} -o diff"),
    ];
    let mut text = comments("", head);
    text += &manifest::write(&json!({
        "apiVersion": template["apiVersion"], "kind": template["kind"], "metadata": template["metadata"],
    }))?;
    text += "spec:\n";
    for (field, value) in template["spec"].as_object().into_iter().flatten() {
        text += &comments("  ", about(field, name, found, value));
        text += &indented(&manifest::write(&json!({field: value}))?);
    }
    Ok(quoted(&text, &template["spec"]["parameters"]))
}

/// What an author should look at.
fn about(field: &str, name: &str, found: &Found, value: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    let mut say = |line: &str| lines.push(line.to_owned());
    match field {
        "description" => say("For those who choose templates: what it is for, and what it needs."),
        "parameters" => {
            say(&format!("What a pod may set, by an annotation such as {name}.pillion.dev/image."));
            say("settableBy: Namespace or Nobody keeps one from it. Others are of use, too: replace a value below by");
            say("\"${{ params.NAME }}\". Give a pattern to what ends up in a command line.");
        }
        "hostNetwork" => say("As the pod is on its node's network: pods elsewhere get the template, too."),
        "shares" => {
            say(
                "The pod has these without the container: where it has one of its own, that is used. One that is not in",
            );
            say("pod.spec.volumes, as of a volumeClaimTemplate, it must have.");
        }
        "pod" => {
            if found.list == "containers" {
                say("It was a regular container: as a native sidecar it starts before the app and ends after it.");
            } else if !found.is_sidecar() {
                say("It ends before the app starts; restartPolicy: Always would make it a native sidecar.");
            }
            let container = &value["spec"]["initContainers"][0];
            let is_literal = |variable: &Value| variable["value"].is_string();
            if container["env"].as_array().is_some_and(|variables| variables.iter().any(is_literal)) {
                say("The values of variables were copied: whoever may read the template reads them.");
            }
        }
        "app" => say(
            "What the other containers have of the shared volumes. Names are those of the workload; \"*\" is for all.",
        ),
        _ => {}
    }
    lines
}

/// A text from a manifest stays on its line.
fn comments(indent: &str, lines: impl IntoIterator<Item = String>) -> String {
    lines.into_iter().map(|line| format!("{indent}# {}\n", line.replace(char::is_control, "?"))).collect()
}

fn indented(text: &str) -> String {
    let line = |line: &str| if line == "\n" { line.to_owned() } else { format!("  {line}") };
    text.split_inclusive('\n').map(line).collect()
}

/// Quotes the expressions that are whole values, as people should who put them into braces later.
fn quoted(text: &str, parameters: &Value) -> String {
    let names = parameters.as_array().into_iter().flatten().filter_map(|parameter| parameter["name"].as_str());
    names.fold(text.to_owned(), |text, name| {
        let hole = format!("${{{{ params.{name} }}}}");
        text.replace(&format!(": {hole}\n"), &format!(": \"{hole}\"\n"))
    })
}

/// The least that a template can be, for a container that is not there yet.
pub(super) fn skeleton(name: &TemplateName) -> anyhow::Result<String> {
    // A name may look like a number.
    let written = manifest::write(&name.as_str().into())?;
    let skeleton = SKELETON.replace("name: NAME", &format!("name: {}", written.trim_end()));
    Ok(skeleton.replace("NAME", name.as_str()))
}

const SKELETON: &str = r#"# Look at each comment, and then:
#   pillion lint -f THIS_FILE
#   pillion inject -f WORKLOAD --templates THIS_FILE --template NAME -o diff
apiVersion: pillion.dev/v1alpha1
# InjectionTemplate, with metadata.namespace: for one namespace alone.
kind: ClusterInjectionTemplate
metadata:
  name: NAME
spec:
  # For those who choose templates: what it is for, and what it needs.
  description: A native sidecar.
  # What a pod may set, by an annotation such as NAME.pillion.dev/image.
  # settableBy: Namespace or Nobody keeps one from it.
  parameters:
    - {name: image, description: The image., type: string, default: "registry.example.com/sidecar:1"}
    - {name: port, description: Where it listens., type: integer, default: 8081, minimum: 1024, maximum: 65535}
  # A part of a pod, in Kubernetes' own fields; "${{ ... }}" holds an expression.
  pod:
    spec:
      initContainers:
        - name: NAME
          image: "${{ params.image }}"
          # A native sidecar: it starts before the app and ends after it. Without, it ends before the app starts.
          restartPolicy: Always
          args: ["--listen=:${{ params.port }}"]
          # The app starts when it succeeds.
          startupProbe:
            tcpSocket: {port: "${{ params.port }}"}
            periodSeconds: 1
            failureThreshold: 60
          resources:
            requests: {cpu: 10m, memory: 32Mi}
            limits: {memory: 64Mi}
          # What the restricted level of Pod Security asks.
          securityContext:
            runAsNonRoot: true
            runAsUser: 65532
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {drop: [ALL]}
            seccompProfile: {type: RuntimeDefault}
  # What the pod's own containers get: env, envFrom, volumeMounts, volumeDevices, ports, probes, lifecycle, resources.
  app:
    - containers: ["*"]
      env:
        - {name: SIDECAR_URL, value: "http://127.0.0.1:${{ params.port }}"}
"#;
