-- What a message asks of TLS on its way (RFC 8689): normal, requiretls or tls-required-no.

ALTER TABLE messages ADD COLUMN tls_demand TEXT NOT NULL DEFAULT 'normal';
