/* key_scheme - what the keys role is asked to do with a private key. */
#ifndef MAILROOM_IPC_KEY_SCHEME_H
#define MAILROOM_IPC_KEY_SCHEME_H

enum key_scheme {
	KEY_SCHEME_ECDSA = 1,             /* input: a digest; output: DER signature */
	KEY_SCHEME_RSA_PRIVATE_PKCS1 = 2, /* input: a DigestInfo, to be padded by PKCS#1 v1.5 */
	KEY_SCHEME_RSA_PRIVATE_RAW = 3,   /* input: a padded block as long as the modulus (PSS) */
};

#endif
