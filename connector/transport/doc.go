// Package transport is how brokers and the Schema Registry are reached, as a worker's
// settings say: TLS, SASL, and certificates whose files are read again when they
// change, so that the next connection has the new ones. Where a connection fails for
// a certificate, the error names the setting, its file and the end of its validity.
//
//	kafka.go         the options of Kafka clients: TLS, SASL, tokens
//	certificates.go  files of certificates, what went wrong with them, and the registry's connections
//
// It keeps no state but the files' contents, per client, and may read config alone.
package transport
