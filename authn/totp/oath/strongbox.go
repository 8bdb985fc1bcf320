package oath

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/xml"
	"hash"
	"strconv"
	"strings"

	"sekisho/policy/secret"
)

const (
	nsEncryption   = "http://www.w3.org/2001/04/xmlenc#"
	nsEncryption11 = "http://www.w3.org/2009/xmlenc11#"
	nsSignature    = "http://www.w3.org/2000/09/xmldsig#"
	nsPKCS5        = "http://www.rsasecurity.com/rsalabs/pkcs/schemas/pkcs-5v2-0#"
	nsMore         = "http://www.w3.org/2001/04/xmldsig-more#"
)

// ciphers are the algorithms of a value, with the size of their keys in bytes.
var ciphers = map[string]int{
	nsEncryption + "aes128-cbc": 16,
	nsEncryption + "aes192-cbc": 24,
	nsEncryption + "aes256-cbc": 32,
}

// macs are the algorithms of a MAC. Section 6.1.1 asks for HMAC-SHA1, in which
// the weakness of SHA-1's collisions does no harm.
var macs = map[string]func() hash.Hash{
	nsSignature + "hmac-sha1": sha1.New,
	nsMore + "hmac-sha256":    sha256.New,
}

// prfs are those of PBKDF2; without a name it is the first (RFC 8018 appendix
// A.2).
var prfs = map[string]func() hash.Hash{
	"":                        sha1.New,
	nsSignature + "hmac-sha1": sha1.New,
	nsMore + "hmac-sha256":    sha256.New,
	nsMore + "hmac-sha512":    sha512.New,
}

const (
	// maxIterations bounds what a stranger's file may cost: a second or two.
	maxIterations = 2_000_000
	maxSalt       = 256

	// minMACKey is so long that no single block of a cipher can be one: a single
	// block that ends in the byte 16 opens to an empty key, with which anybody
	// makes MACs.
	minMACKey = aes.BlockSize
)

// A strongbox opens the encrypted values of one container.
type strongbox struct {
	key    func(size int) ([]byte, bool) // false: none of this size
	mac    func() hash.Hash
	macKey []byte
}

// A box is an encrypted value.
type box struct {
	size int    // of the key that opens it
	data []byte // initialization vector and blocks
}

// open checks the MAC, which is over the vector and the blocks, and only then
// decrypts.
func (s *strongbox) open(b box, sent []byte) ([]byte, bool) {
	mac := hmac.New(s.mac, s.macKey)
	mac.Write(b.data)
	if !hmac.Equal(mac.Sum(nil), sent) {
		return nil, false
	}
	return s.decrypt(b)
}

// decrypt is XML Encryption section 5.2: CBC, the vector in front, and in the
// last byte how many bytes at the end are padding.
func (s *strongbox) decrypt(b box) ([]byte, bool) {
	key, ok := s.key(b.size)
	if !ok || len(b.data) < 2*aes.BlockSize || len(b.data)%aes.BlockSize != 0 {
		return nil, false
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, false
	}
	plain := make([]byte, len(b.data)-aes.BlockSize)
	cipher.NewCBCDecrypter(block, b.data[:aes.BlockSize]).CryptBlocks(plain, b.data[aes.BlockSize:])
	padding := int(plain[len(plain)-1])
	if padding < 1 || padding > aes.BlockSize {
		return nil, false
	}
	return plain[:len(plain)-padding], true
}

// safe reads how a container is encrypted. It is nil for one in clear, and
// false when there is a fault.
func (r *reading) safe(root *element, key secret.Text) (*strongbox, bool) {
	before := len(r.faults)
	encryption, method := r.one(root, pskc("EncryptionKey")), r.one(root, pskc("MACMethod"))
	switch {
	case encryption == nil && key.IsEmpty():
		return nil, len(r.faults) == before
	case encryption == nil:
		r.fault(0, "key", "unneeded",
			"鍵が指定されていますが、ファイルは暗号化されていません。元のファイルか確かめてください。",
			"A key was given, but the file is not encrypted. Make sure that it is the one that was sent.")
		return nil, false
	case key.IsEmpty():
		r.fault(0, "key", "missing",
			"ファイルは暗号化されています。鍵又はパスフレーズを入力してください。",
			"The file is encrypted. Enter its key or passphrase.")
		return nil, false
	}
	s := &strongbox{key: r.encryptionKey(encryption, key)}
	r.macMethod(method, encryption.line, s)
	return s, len(r.faults) == before
}

// encryptionKey answers the key of the container.
func (r *reading) encryptionKey(e *element, key secret.Text) func(int) ([]byte, bool) {
	derived := r.one(e, xml.Name{Space: nsEncryption11, Local: "DerivedKey"})
	for _, c := range e.children {
		if c != derived && c.Name != (xml.Name{Space: nsSignature, Local: "KeyName"}) {
			r.fault(c.line, "EncryptionKey", "unsupported",
				"この暗号化の方式には対応していません。事前共有鍵かパスフレーズで暗号化されたファイルを使ってください。",
				"This way of encryption is not supported. Use a file encrypted with a pre-shared key or a passphrase.")
			return nil
		}
	}
	if derived != nil {
		return r.derive(derived, key)
	}
	return preShared(key)
}

// preShared reads a key in hexadecimal or base64. A text of 32 hexadecimal
// digits is base64 of 24 bytes too, so the size that the cipher asks for decides.
func preShared(key secret.Text) func(int) ([]byte, bool) {
	text := strings.Join(strings.Fields(string(key.Reveal())), "")
	return func(size int) ([]byte, bool) {
		if raw, err := hex.DecodeString(text); err == nil && len(raw) == size {
			return raw, true
		}
		raw, ok := fromBase64(text)
		return raw, ok && len(raw) == size
	}
}

// derive makes the key from a passphrase with PBKDF2 (section 6.2). The children
// of its parameters stand in one namespace or another, depending on who wrote
// the file, and in the RFC's own figure 7 in none.
func (r *reading) derive(e *element, passphrase secret.Text) func(int) ([]byte, bool) {
	unsupported := func(line int) func(int) ([]byte, bool) {
		r.fault(line, "EncryptionKey", "unsupported",
			"パスフレーズから鍵を作る方式（PBKDF2）の指定が正しくないか、対応していない値です。",
			"The way the key is made from the passphrase (PBKDF2) is not in order, or has values that are not supported.")
		return nil
	}
	method := r.one(e, xml.Name{Space: nsEncryption11, Local: "KeyDerivationMethod"})
	if method == nil || len(method.children) != 1 {
		return unsupported(e.line)
	}
	switch method.attribute("Algorithm") {
	case nsPKCS5 + "pbkdf2", nsEncryption11 + "pbkdf2":
	default:
		return unsupported(method.line)
	}
	parameters := method.children[0]
	if parameters.Local != "PBKDF2-params" {
		return unsupported(parameters.line)
	}
	part := map[string]*element{}
	for _, c := range parameters.children {
		if part[c.Local] != nil {
			return unsupported(c.line)
		}
		part[c.Local] = c
	}
	if part["Salt"] == nil || part["IterationCount"] == nil || part["KeyLength"] == nil ||
		len(part["Salt"].children) != 1 || part["Salt"].children[0].Local != "Specified" {
		return unsupported(parameters.line)
	}
	salt, ok := fromBase64(part["Salt"].children[0].text)
	count, err := strconv.Atoi(part["IterationCount"].text)
	if !ok || len(salt) > maxSalt || err != nil || count < 1 || count > maxIterations {
		return unsupported(parameters.line)
	}
	length, err := strconv.Atoi(part["KeyLength"].text)
	if err != nil || length != 16 && length != 24 && length != 32 {
		return unsupported(parameters.line)
	}
	name := ""
	if part["PRF"] != nil {
		name = part["PRF"].attribute("Algorithm")
	}
	prf := prfs[name]
	if prf == nil {
		return unsupported(part["PRF"].line)
	}
	key, err := pbkdf2.Key(prf, string(passphrase.Reveal()), salt, count, length)
	if err != nil {
		return unsupported(parameters.line)
	}
	return func(size int) ([]byte, bool) { return key, size == length }
}

// macMethod reads how values are authenticated, and the key for it.
func (r *reading) macMethod(e *element, line int, s *strongbox) {
	key := r.one(e, pskc("MACKey"))
	if key == nil {
		r.fault(line, "MACMethod", "missing",
			"暗号化された値の改ざんを確かめる方法（MACMethod と MACKey）がありません。",
			"There is no way (MACMethod with a MACKey) to tell whether the encrypted values were changed.")
		return
	}
	if s.mac = macs[e.attribute("Algorithm")]; s.mac == nil {
		r.fault(e.line, "MACMethod", "unsupported",
			"改ざんを確かめる方式は HMAC-SHA1 か HMAC-SHA256 です。", "The MAC is HMAC-SHA1 or HMAC-SHA256.")
		return
	}
	sealed, ok := r.box(key)
	if !ok || s.key == nil {
		return
	}
	if _, ok := s.key(sealed.size); !ok {
		r.fault(0, "key", "size",
			"鍵の長さが、このファイルの暗号と合いません。鍵は16進数かbase64です。",
			"The key has not the length that the file's cipher asks for. It is hexadecimal or base64.")
		return
	}
	s.macKey, ok = s.decrypt(sealed)
	if !ok || len(s.macKey) < minMACKey {
		// A wrong key must look the same whether or not the padding came out
		// right by chance: with a key that nobody has, no MAC is right.
		s.macKey = secret.Bytes(32)
	}
}

// box reads an EncryptedValue or MACKey, an EncryptedDataType of XML Encryption.
func (r *reading) box(e *element) (box, bool) {
	method := r.one(e, xml.Name{Space: nsEncryption, Local: "EncryptionMethod"})
	size := 0
	if method != nil {
		size = ciphers[method.attribute("Algorithm")]
	}
	if size == 0 {
		r.fault(e.line, e.Local, "unsupported",
			"暗号は AES（128、192、256ビット）の CBC だけに対応しています。",
			"Only AES in CBC mode (128, 192 or 256 bits) is supported.")
		return box{}, false
	}
	data := r.one(e, xml.Name{Space: nsEncryption, Local: "CipherData"})
	raw, ok := fromBase64(r.value(data, xml.Name{Space: nsEncryption, Local: "CipherValue"}))
	if !ok {
		r.notBase64(e.line, e.Local)
	}
	return box{size, raw}, ok
}
