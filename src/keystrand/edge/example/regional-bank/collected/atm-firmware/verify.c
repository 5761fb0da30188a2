/* Checks a firmware image before a cash machine starts it. RSA_verify() of the old loader is gone. */
#include <openssl/evp.h>

int firmware_is_ours(EVP_PKEY *vendor, const unsigned char *image, size_t length,
                     const unsigned char *signature, size_t signature_length)
{
    int valid = 0;
    EVP_MD_CTX *context = EVP_MD_CTX_new();

    if (context != NULL && EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, vendor) == 1)
        valid = EVP_DigestVerify(context, signature, signature_length, image, length) == 1;
    EVP_MD_CTX_free(context);
    return valid;
}

EVP_PKEY *self_test_key(void)
{
    return EVP_EC_gen("P-256");
}
