//! The macro `messages!`, which declares an enum of messages: each variant with its tag (the number before its name) and its
//! fields. They are written and read in the order in which they are declared.

/// Declares an enum of messages with `tag` (the first byte), `write` and `read`. Fields are [`Field`](super::fields::Field)s.
macro_rules! messages {
    (
        $(#[$about:meta])*
        pub enum $name:ident {
            $(
                $(#[$doc:meta])*
                $tag:literal $variant:ident
                $( { $( $(#[$field_doc:meta])* $field:ident: $type:ty ),* $(,)? } )?
                $( ( $inner:ident: $inner_type:ty ) )?
            ),* $(,)?
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name<'a> {
            $(
                $(#[$doc])*
                $variant $( { $( $(#[$field_doc])* $field: $type ),* } )? $( ($inner_type) )?
            ),*
        }

        impl<'a> $name<'a> {
            /// Writes the tag and the fields.
            fn put(&self, w: &mut Writer<'_>) {
                match *self {
                    $(
                        Self::$variant $( { $($field),* } )? $( ($inner) )? => {
                            w.put($tag as u8);
                            $( $( w.put($field); )* )?
                            $( w.put($inner); )?
                        }
                    )*
                }
            }

            /// Reads the fields that come after this tag. `None`: no message of this kind has it.
            fn take(tag: u8, r: &mut Reader<'a>) -> Read<Option<Self>> {
                Ok(Some(match tag {
                    $(
                        $tag => Self::$variant
                            $( { $( $field: r.take()? ),* } )?
                            $( ({ let $inner: $inner_type = r.take()?; $inner }) )?,
                    )*
                    _ => return Ok(None),
                }))
            }
        }
    };
}
