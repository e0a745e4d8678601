//! [`Types`]: the names of event types, and the place where serde keeps them in the JSON of a value.
//!
//! Owns the two ways between serde's JSON and a pair of event type and payload. Knows no event and no schema version.

use crate::typed::error::EncodeError;
use serde::de::value::{EnumAccessDeserializer, MapAccessDeserializer, StrDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, MapAccess, VariantAccess, Visitor,
};
use serde_json::value::RawValue;
use serde_json::{Error, Map, Value};
use std::collections::BTreeMap;

/// The event types of a [`TypedEvent`](crate::typed::TypedEvent), by what serde makes of it. The tag of an enum becomes the
/// event type and is not repeated in the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Types {
    /// A struct, or anything else that is one event type: the payload is all of its JSON.
    One(&'static str),
    /// An enum as serde tags it by default: the event types are its variants, the payload is what a variant holds.
    Variants(&'static [&'static str]),
    /// An enum with `#[serde(tag = "...", content = "...")]`.
    Adjacent {
        /// The name of the tag.
        tag: &'static str,
        /// The name of the content.
        content: &'static str,
        /// Its variants.
        types: &'static [&'static str],
    },
    /// An enum with `#[serde(tag = "...")]`.
    Internal {
        /// The name of the tag.
        tag: &'static str,
        /// Its variants.
        types: &'static [&'static str],
    },
}

impl Types {
    /// The event types. To find out, for example, whose events to read.
    pub const fn names(&self) -> &[&'static str] {
        match self {
            Types::One(name) => std::slice::from_ref(name),
            Types::Variants(types) | Types::Adjacent { types, .. } | Types::Internal { types, .. } => types,
        }
    }

    /// Takes the JSON of a value apart, into its event type and its payload. The payload's text stays as serde wrote it.
    pub(crate) fn split(&self, json: Vec<u8>) -> Result<(&'static str, Vec<u8>), EncodeError> {
        if let Types::One(name) = self {
            return Ok((name, json));
        }
        let text = |json: &[u8]| serde_json::from_slice::<String>(json).map_err(|_| EncodeError::Form);
        let payload = |raw: Option<Box<RawValue>>| raw.map_or("null".into(), |raw| raw.get().into());
        // A variant without contents is nothing but its name.
        if json.starts_with(b"\"") && matches!(self, Types::Variants(_)) {
            return Ok((self.listed(text(&json)?)?, payload(None)));
        }
        let mut object: BTreeMap<String, Box<RawValue>> =
            serde_json::from_slice(&json).map_err(|_| EncodeError::Form)?;
        let (name, payload) = match self {
            Types::One(_) | Types::Variants(_) => {
                let (name, content) = object.pop_first().ok_or(EncodeError::Form)?;
                if !object.is_empty() {
                    return Err(EncodeError::Form);
                }
                (name, payload(Some(content)))
            }
            Types::Adjacent { tag, content, .. } => {
                let name = object.remove(*tag).ok_or(EncodeError::Form)?;
                (text(name.get().as_bytes())?, payload(object.remove(*content)))
            }
            Types::Internal { tag, .. } => {
                let name = object.remove(*tag).ok_or(EncodeError::Form)?;
                (text(name.get().as_bytes())?, serde_json::to_vec(&object).map_err(EncodeError::Json)?)
            }
        };
        Ok((self.listed(name)?, payload))
    }

    fn listed(&self, name: String) -> Result<&'static str, EncodeError> {
        let listed = self.names().iter().find(|listed| **listed == name);
        listed.copied().ok_or(EncodeError::Unlisted { event_type: name })
    }

    /// Makes a value of an event type and a payload.
    pub(crate) fn join<'de, T, D>(&self, event_type: &str, payload: D) -> Result<T, Error>
    where
        T: DeserializeOwned,
        D: Deserializer<'de, Error = Error>,
    {
        match self {
            Types::One(_) => T::deserialize(payload),
            Types::Variants(_) => {
                T::deserialize(EnumAccessDeserializer::new(Variant { event_type, payload }))
            }
            Types::Adjacent { tag, content, .. } => {
                let tagged = Tagged { keys: [tag, content], event_type, payload: Some(payload), given: 0 };
                T::deserialize(MapAccessDeserializer::new(tagged))
            }
            Types::Internal { tag, .. } => {
                let mut object: Map<String, Value> = serde::Deserialize::deserialize(payload)?;
                object.insert((*tag).to_owned(), event_type.into());
                T::deserialize(Value::Object(object))
            }
        }
    }
}

/// An object of a tag and contents, in this order: who knows the tag takes the contents as they are, whatever they are. (Behind
/// its contents, a tag finds serde with a copy of them, which not every type can be made of.)
struct Tagged<'a, D> {
    keys: [&'a str; 2],
    event_type: &'a str,
    payload: Option<D>,
    /// How many of the keys were given.
    given: usize,
}

impl<'de, D: Deserializer<'de, Error = Error>> MapAccess<'de> for Tagged<'_, D> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some(key) = self.keys.get(self.given) else { return Ok(None) };
        self.given += 1;
        seed.deserialize(StrDeserializer::<Error>::new(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        match self.payload.take_if(|_| self.given > 1) {
            Some(payload) => seed.deserialize(payload),
            None => seed.deserialize(StrDeserializer::<Error>::new(self.event_type)),
        }
    }
}

/// An enum's value for serde, its tag and its contents from two places: nothing is copied to put them together.
struct Variant<'a, D> {
    event_type: &'a str,
    payload: D,
}

/// What is left of it when the tag was taken.
struct Contents<D>(D);

impl<'de, D: Deserializer<'de, Error = Error>> EnumAccess<'de> for Variant<'_, D> {
    type Error = Error;
    type Variant = Contents<D>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Contents<D>), Error> {
        let tag = seed.deserialize(StrDeserializer::<Error>::new(self.event_type))?;
        Ok((tag, Contents(self.payload)))
    }
}

impl<'de, D: Deserializer<'de, Error = Error>> VariantAccess<'de> for Contents<D> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        serde::Deserialize::deserialize(self.0)
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Error> {
        seed.deserialize(self.0)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        self.0.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.deserialize_struct("", fields, visitor)
    }
}
