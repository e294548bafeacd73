"""registrar-core: bindings of addresses-of-record to contacts, the rules of REGISTER, and the stores."""
