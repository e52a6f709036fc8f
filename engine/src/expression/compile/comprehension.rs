//! Macros that go through a list, or the keys of a map, and those of an optional value.

use cel::common::ast::{Expr, IdedExpr as Tree};

use super::{Compiler, Item, Operand, refuse_outside};
use crate::expression::evaluate::{Comprehension, Kind, NO_QUANTITY, Node};
use crate::expression::types::Type;
use crate::expression::variables::Root;

impl Compiler<'_> {
    pub(super) fn comprehension(
        &mut self,
        name: &str,
        range: &Tree,
        variable: &Tree,
        condition: Option<&Tree>,
        body: &Tree,
        depth: usize,
    ) -> Result<Operand, String> {
        let Expr::Ident(variable) = &variable.expr else {
            return Err(format!("{name}() begins with a name for the item: {name}(item, …)"));
        };
        // cel-go keeps what it gathers in a variable of that name.
        if variable == "__result__" {
            return Err("__result__ is a name of CEL's own; give the item another one".into());
        }
        let range = self.visit(range, depth + 1)?;
        if range.outside {
            return Err(format!(
                "a comprehension inside another can only go through the item at hand and what is in it, and not through {}",
                range.place()
            ));
        }
        let resolved = self.types.resolve(&range.kind);
        let is_optional_map = name.starts_with("opt");
        let item = if is_optional_map { held_type(name, &resolved) } else { item_type(name, &resolved) }?;
        // Names in a pod may be shown; a parameter's need not be.
        let of_pod = |place: &String| !place.starts_with(Root::Params.as_str());
        let items = range.place.clone().filter(of_pod).filter(|_| !matches!(resolved.without_null(), Type::Map(..)));
        self.items.push(Item { name: variable.clone(), kind: item.clone(), is_one_of_many: !is_optional_map });
        let condition = condition.map(|condition| self.condition(condition, "map()", depth)).transpose()?;
        let body = match name {
            "map" | "optMap" | "optFlatMap" => {
                let body = self.visit(body, depth + 1)?;
                refuse_outside(&body)?;
                let resolved = self.types.resolve(&body.kind);
                let given = if let Type::Optional(of) = &resolved { of } else { &resolved };
                if is_optional_map && matches!(given, Type::Quantity) {
                    return Err(format!("{name}() {NO_QUANTITY}"));
                }
                body
            }
            _ => self.condition(body, &format!("{name}()"), depth)?,
        };
        self.items.pop();
        self.loops |= !is_optional_map;
        let (kind, value) = match name {
            "all" => (Kind::All, Type::Bool),
            "exists" => (Kind::Exists, Type::Bool),
            "exists_one" => (Kind::ExistsOne, Type::Bool),
            "filter" => (Kind::Filter, Type::list(item)),
            "map" => (Kind::Map(condition.map(|condition| condition.node)), Type::list(body.kind.clone())),
            "optMap" => (Kind::OptionalMap { is_flat: false }, Type::optional(body.kind.clone())),
            _ => {
                let kind = self.types.resolve(&body.kind);
                if !matches!(kind, Type::Optional(_) | Type::Dyn) {
                    return Err(format!(
                        "optFlatMap() needs an optional value, and not {}; write optMap()",
                        kind.with_article()
                    ));
                }
                (Kind::OptionalMap { is_flat: true }, kind)
            }
        };
        let node = Node::Comprehension(Box::new(Comprehension { kind, range: range.node, body: body.node, items }));
        // What it gives is new, and so no longer from outside of a comprehension around it.
        Ok(Operand::new(node, value))
    }
}

/// The type of what an optional value holds.
fn held_type(name: &str, kind: &Type) -> Result<Type, String> {
    match kind.without_null() {
        Type::Optional(of) => Ok((**of).clone()),
        Type::Dyn | Type::Variable(_) => Ok(Type::Dyn),
        other => Err(format!("{name}() needs an optional value, and not {}", other.with_article())),
    }
}

/// The type of the items of a list, or of the keys of an object.
fn item_type(name: &str, kind: &Type) -> Result<Type, String> {
    match kind.without_null() {
        Type::List(item) => Ok((**item).clone()),
        Type::Map(key, _) => Ok((**key).clone()),
        Type::Dyn | Type::Variable(_) => Ok(Type::Dyn),
        Type::Optional(_) => Err(format!("{name}() needs a list, and not an optional one; write .orValue([])")),
        other => Err(format!(
            "{name}() needs a list, or an object whose keys it goes through, and not {}",
            other.with_article()
        )),
    }
}
