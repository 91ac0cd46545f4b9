//! The crate's source as `tests/architecture.rs` reads it: which file names what, outside tests.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use syn::visit::{self, Visit};

/// Every file of `src` by its name from the root, those of tests apart.
pub(crate) struct Sources {
    pub(crate) files: BTreeMap<String, Source>,
}

/// One file.
#[derive(Default)]
pub(crate) struct Source {
    /// The module it is: `["sys", "fs"]` for `src/sys/fs/mod.rs`.
    module: Vec<String>,
    /// The modules inside it that the visitor is in.
    inner: Vec<String>,
    /// What `use` brings into the file, by the name it has there.
    imports: HashMap<String, Vec<String>>,
    /// Every path that it names, from the crate's root or an outer crate's.
    paths: Vec<Vec<String>>,
    /// The outer crates it names.
    pub(crate) outer: BTreeSet<String>,
    /// The types it defines.
    pub(crate) types: Vec<String>,
}

impl Sources {
    /// The crate's own.
    pub(crate) fn of_crate() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut files = Vec::new();
        collect(root, &root.join("src"), &mut files);
        Self::parse(files.into_iter().map(|file| {
            let text = std::fs::read_to_string(root.join(&file)).expect("a file of src");
            (file, text)
        }))
    }

    pub(crate) fn parse(files: impl Iterator<Item = (String, String)>) -> Self {
        let is_test = |file: &str| file.ends_with("/tests.rs") || file.contains("/tests/");
        let files = files.filter(|(file, _)| !is_test(file)).map(|(file, text)| {
            let path = file.trim_start_matches("src/").trim_end_matches(".rs");
            let module = path.split('/').filter(|part| !matches!(*part, "mod" | "lib" | "main")).map(str::to_owned);
            let mut source = Source { module: module.collect(), ..Source::default() };
            source.visit_file(&syn::parse_file(&text).unwrap_or_else(|error| panic!("{file}: {error}")));
            (file, source)
        });
        let mut sources = Self { files: files.collect() };
        let outer: Vec<BTreeSet<String>> = sources.files.values().map(|source| sources.outer_of(source)).collect();
        for (source, outer) in sources.files.values_mut().zip(outer) {
            source.outer = outer;
        }
        sources
    }

    /// Which file uses which other one.
    pub(crate) fn edges(&self) -> BTreeSet<(&str, &str)> {
        let uses = |(file, source): (&'_ String, &'_ Source)| {
            let targets: Vec<&str> = source.paths.iter().filter_map(|path| self.defined_in(path, source, 0)).collect();
            (file.clone(), targets)
        };
        let mut edges = BTreeSet::new();
        for (file, targets) in self.files.iter().map(uses) {
            let (from, _) = self.files.get_key_value(&file).expect("its own name");
            edges.extend(targets.into_iter().filter(|to| to != from).map(|to| (from.as_str(), to)));
        }
        edges
    }

    fn outer_of(&self, source: &Source) -> BTreeSet<String> {
        let first = |path: &Vec<String>| path.first().filter(|first| *first != "crate").cloned();
        source.paths.iter().map(|path| self.through_imports(path, source)).filter_map(|path| first(&path)).collect()
    }

    /// A path that begins with a name the file imports, or with a module of its own, from the root.
    fn through_imports(&self, path: &[String], source: &Source) -> Vec<String> {
        let Some((first, rest)) = path.split_first() else { return Vec::new() };
        if let Some(import) = source.imports.get(first).filter(|import| import.first() != Some(first)) {
            return [import, rest].concat();
        }
        let child = [&source.module[..], std::slice::from_ref(first)].concat();
        if first != "crate" && self.file_of(&child).is_some() {
            return [&["crate".to_owned()], &child[..], rest].concat();
        }
        path.to_vec()
    }

    fn file_of(&self, module: &[String]) -> Option<(&str, &Source)> {
        let named = |file: &str| self.files.get_key_value(file).map(|(file, source)| (file.as_str(), source));
        if module.is_empty() {
            return named("src/lib.rs");
        }
        let path = module.join("/");
        named(&format!("src/{path}.rs")).or_else(|| named(&format!("src/{path}/mod.rs")))
    }

    /// The file that defines what a path names.
    fn defined_in(&self, path: &[String], source: &Source, depth: usize) -> Option<&str> {
        let path = self.through_imports(path, source);
        let ("crate", names) = (path.first()?.as_str(), &path[1..]) else { return None };
        let mut here = self.file_of(&[])?;
        for (at, name) in names.iter().enumerate() {
            if let Some(child) = self.file_of(&names[..=at]) {
                here = child;
                continue;
            }
            // A re-export leads on; no chain of them is longer.
            let import = here.1.imports.get(name).filter(|_| depth < 8);
            return match import {
                Some(import) => self.defined_in(&[import, &names[at + 1..]].concat(), here.1, depth + 1),
                None => Some(here.0),
            };
        }
        Some(here.0)
    }
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder of src") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(root, &path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path.strip_prefix(root).expect("below the root").to_string_lossy().into_owned());
        }
    }
}

/// Whether an item is compiled for tests alone.
fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let condition = attribute.meta.require_list().map(|list| list.tokens.to_string()).unwrap_or_default();
        let only_tests = matches!(condition.as_str(), "test" | "any (test , fuzzing)" | "fuzzing");
        attribute.path().is_ident("test") || attribute.path().is_ident("cfg") && only_tests
    })
}

impl Source {
    /// A path that begins with `self` or `super` or `crate`, from the root; any other as it is.
    fn absolute(&self, path: Vec<String>) -> Vec<String> {
        let mut home: Vec<String> = [&self.module[..], &self.inner[..]].concat();
        let mut rest = &path[..];
        loop {
            match rest.first().map(String::as_str) {
                Some("self") => {}
                Some("super") => drop(home.pop()),
                _ if rest.len() == path.len() => return path,
                _ => return [&["crate".to_owned()], &home[..], rest].concat(),
            }
            rest = &rest[1..];
        }
    }

    fn import(&mut self, tree: &syn::UseTree, mut path: Vec<String>) {
        let (name, alias) = match tree {
            syn::UseTree::Path(inner) => {
                path.push(inner.ident.to_string());
                return self.import(&inner.tree, path);
            }
            syn::UseTree::Group(group) => return group.items.iter().for_each(|tree| self.import(tree, path.clone())),
            syn::UseTree::Glob(_) => {
                let path = self.absolute(path);
                return self.paths.push(path);
            }
            syn::UseTree::Rename(inner) => (inner.ident.to_string(), inner.rename.to_string()),
            syn::UseTree::Name(inner) => (inner.ident.to_string(), inner.ident.to_string()),
        };
        let alias = if name == "self" && alias == "self" { path.last().cloned().unwrap_or_default() } else { alias };
        if name != "self" {
            path.push(name);
        }
        let path = self.absolute(path);
        self.imports.entry(alias).or_insert_with(|| path.clone());
        self.paths.push(path);
    }
}

impl<'ast> Visit<'ast> for Source {
    #[expect(clippy::wildcard_enum_match_arm, reason = "syn may get more kinds of items")]
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let (attributes, name) = match item {
            syn::Item::Struct(item) => (&item.attrs, Some(&item.ident)),
            syn::Item::Enum(item) => (&item.attrs, Some(&item.ident)),
            syn::Item::Union(item) => (&item.attrs, Some(&item.ident)),
            syn::Item::Trait(item) => (&item.attrs, Some(&item.ident)),
            syn::Item::Type(item) => (&item.attrs, Some(&item.ident)),
            syn::Item::Fn(item) => (&item.attrs, None),
            syn::Item::Impl(item) => (&item.attrs, None),
            syn::Item::Mod(item) => (&item.attrs, None),
            syn::Item::Use(item) => (&item.attrs, None),
            syn::Item::Const(item) => (&item.attrs, None),
            _ => return visit::visit_item(self, item),
        };
        if !is_for_tests(attributes) {
            self.types.extend(name.map(ToString::to_string));
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        self.inner.push(module.ident.to_string());
        visit::visit_item_mod(self, module);
        self.inner.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.import(&item.tree, Vec::new());
    }

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {
        // `pub(in crate::sys)` uses nothing.
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if names.len() > 1 {
            let names = self.absolute(names);
            self.paths.push(names);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        // What a macro takes is tokens; those of most are expressions.
        let expressions =
            call.parse_body_with(syn::punctuated::Punctuated::<syn::Expr, syn::Token![,]>::parse_terminated);
        for expression in expressions.into_iter().flatten() {
            Visit::visit_expr(self, &expression);
        }
    }
}
