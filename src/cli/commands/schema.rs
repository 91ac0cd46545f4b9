//! `dogwatch schema`.

use super::{Args, Context, Error, Subcommand};
use crate::ops::schema;
use clap::builder::PossibleValuesParser;

#[derive(Debug, Args)]
pub(super) struct SchemaArgs {
    /// The object [default: all]
    #[arg(value_name = "NAME", value_parser = PossibleValuesParser::new(schema::names()))]
    name: Option<String>,
}

impl Subcommand for SchemaArgs {
    const NAME: &'static str = "schema";
    const ABOUT: &'static str = "Print the JSON Schema of what --json prints, and of the JSON files";
    const EXAMPLES: &'static [&'static str] = &["dogwatch schema report"];
    const NOTES: &'static str = "JSON Schema 2020-12. An object that is printed has the keys of its schema and no \
        others; in a file others may be added, and readers ignore them.";

    fn exec(self, context: &Context) -> Result<u8, Error> {
        match self.name {
            Some(name) => context.out.print_json(&schema::of(&name)),
            None => context.out.print(schema::TEXT.as_bytes()),
        }
        Ok(0)
    }
}
