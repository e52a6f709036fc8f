//! The flags of every command that asks the engine: the templates, and what is decided for all of them.

use std::path::PathBuf;
use std::str::FromStr;

use pillion_engine::catalog::{Catalog, ImageMirror};
use pillion_engine::template::OnError;

use super::output::report;
use crate::catalog::{Library, Loaded, Source};
use crate::files::SourceFile;

/// The most broken templates that are listed.
const MAX_PROBLEMS: usize = 20;

/// Flags about templates, as `pillion serve` has them.
#[derive(Debug, clap::Args)]
pub(super) struct EngineArgs {
    /// Folder or file with templates, instead of the built-in ones; can be given several times
    #[arg(long, env = "PILLION_TEMPLATES", value_name = "DIR", value_delimiter = ',')]
    pub(super) templates: Vec<PathBuf>,

    /// What happens to a pod when a template that has no onError of its own cannot be applied: deny or skip
    #[arg(long, env = "PILLION_ON_ERROR", default_value = "deny", value_parser = OnError::from_str)]
    on_error: OnError,

    /// Registry that has copies of images, such as mirror.example.com/docker-hub: as for pillion serve
    #[arg(long, env = "PILLION_IMAGE_MIRRORS", value_name = "REGISTRY", value_delimiter = ',', value_parser = ImageMirror::from_str)]
    image_mirrors: Vec<ImageMirror>,
}

impl EngineArgs {
    /// The templates. Those that are broken are reported, and refused to the pods that ask for them.
    pub(super) fn load(self) -> anyhow::Result<Catalog> {
        let source = Source::of(self.templates.clone(), Source::Cookbook)?;
        let (catalog, loaded) = self.catalog(&source.read());
        for problem in loaded.problems.iter().take(MAX_PROBLEMS) {
            report(format_args!("template refused: {problem}"));
        }
        if let Some(more) = loaded.problems.len().checked_sub(MAX_PROBLEMS).filter(|more| *more > 0) {
            report(format_args!("and {more} more are refused; --templates names a folder of templates alone"));
        }
        Ok(catalog)
    }

    /// The templates in these files, whatever the flags say of where templates are.
    pub(super) fn catalog(&self, files: &[SourceFile]) -> (Catalog, Loaded) {
        let loaded = Library::default().load(files);
        let mut catalog = Catalog::new(self.on_error).with_image_mirrors(self.image_mirrors.clone());
        loaded.insert_into(&mut catalog);
        (catalog, loaded)
    }
}
