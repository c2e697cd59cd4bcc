//! Decisions as rows of one table: what each is called in Rust, in documents, and in words.

/// An enum of which each variant is one row: the variant, the code it has in documents, and what that means.
macro_rules! coded {
    ($(#[$attribute:meta])* $visibility:vis enum $name:ident { $($variant:ident = $code:literal: $explanation:literal,)* }) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[non_exhaustive]
        $visibility enum $name {
            $(#[doc = $explanation] $variant,)*
        }

        impl $name {
            /// The code, as in documents.
            #[must_use]
            pub fn code(self) -> &'static str {
                match self {
                    $(Self::$variant => $code,)*
                }
            }

            /// What it means, in words.
            #[must_use]
            pub fn explanation(self) -> &'static str {
                match self {
                    $(Self::$variant => $explanation,)*
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.code())
            }
        }
    };
}

pub(super) use coded;
